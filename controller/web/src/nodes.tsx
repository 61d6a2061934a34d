import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { Identity } from "./boxes";
import { ago, duration, gib } from "./format";
import { hoursText, parseHours } from "./hours";
import type { BoxKey, FarmInfo, FarmNode, HeldTask, Job, Rollout } from "./model";
import { useMay } from "./people";
import { ask } from "./server";
import { UpdateLine } from "./updates";

const historyPoints = 450; // 15 minutes of a GPU's 2 s samples

// Temperature over the last minutes, or load on a box that has no sensor. Starts from the controller's history, then
// follows the live values.
function Sparkline({ node, gpu, value }: { node: string; gpu: number | undefined; value: number | undefined }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>();
  const data = useRef<[number[], (number | null)[]]>([[], []]);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const style = getComputedStyle(document.documentElement);
    plot.current = new uPlot(
      {
        width: element.clientWidth,
        height: 44,
        legend: { show: false },
        cursor: { show: false },
        axes: [{ show: false }, { show: false }],
        padding: [4, 0, 4, 0],
        // At least 20 degrees high: a wobble of one degree is not a mountain.
        scales: { y: { range: (_, low, high) => [Math.min(low, high - 20) - 1, high + 1] } },
        series: [{}, { stroke: style.getPropertyValue("--ember"), width: 1.5, fill: style.getPropertyValue("--ember-soft") }],
      },
      data.current,
      element,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: 44 }));
    resize.observe(element);
    const query = gpu === undefined ? "" : `&gpu=${gpu}`;
    ask<{ points: [number, number | null, number | null][] }>("GET", `/nodes/${node}/telemetry?limit=${historyPoints}${query}`)
      .then(({ points }) => {
        data.current = [points.map((p) => p[0]), points.map((p) => p[1] ?? p[2])];
        plot.current?.setData(data.current);
      })
      .catch(() => undefined); // no history yet: the live values draw it
    return () => {
      resize.disconnect();
      plot.current?.destroy();
    };
  }, [node, gpu]);
  useEffect(() => {
    if (value === undefined) return;
    const [times, values] = data.current;
    const now = Date.now() / 1000;
    if (times.length && now - times[times.length - 1] < 1) return;
    data.current = [[...times, now].slice(-historyPoints), [...values, value].slice(-historyPoints)];
    plot.current?.setData(data.current);
  });
  return <div class="sparkline" ref={box} />;
}

function tone(temp_c: number): string {
  if (temp_c >= 85) return "hot";
  return temp_c >= 70 ? "warm" : "";
}

function Running({ task, jobs }: { task: HeldTask; jobs: Job[] }) {
  const job = jobs.find((one) => task.task.startsWith(`${one.id}-`));
  return (
    <div class="held">
      <div class="numbers">
        <span><strong>{job?.name ?? task.task}</strong> · frame {task.frame}</span>
        <span>
          {task.state === "rendering" ? (task.eta_s !== undefined ? duration(task.eta_s) : "") : task.state}
        </span>
      </div>
      <div class="bar"><i class="running" style={{ width: `${task.percent}%` }} /></div>
    </div>
  );
}

// What it is at, in a word and a colour.
function stateOf(node: FarmNode): { word: string; tone: string } {
  if (node.asleep) return { word: "asleep", tone: "asleep" };
  if (node.presence === "offline" || node.presence === "unknown") {
    return { word: node.presence, tone: node.presence };
  }
  if (node.enabled === false) return { word: "disabled", tone: "draining" };
  if (node.quarantine) return { word: "quarantined", tone: "offline" };
  if (node.reboot) return { word: "restarts when idle", tone: "draining" };
  if (node.drained) return { word: "draining", tone: "draining" };
  if (node.off_hours) return { word: "off hours", tone: "draining" };
  if (node.hot) return { word: "hot", tone: "offline" };
  return { word: node.presence, tone: node.presence };
}

// A menu that closes when something else is pressed, or with Escape.
function Menu({ label, children }: { label: string; children: ComponentChildren }) {
  const box = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event) => {
      const isEscape = event instanceof KeyboardEvent && event.key === "Escape";
      const isOutside = !(event instanceof KeyboardEvent) && !box.current?.contains(event.target as Node);
      if (box.current && (isEscape || isOutside)) box.current.open = false;
    };
    document.addEventListener("pointerdown", close);
    document.addEventListener("keydown", close);
    return () => {
      document.removeEventListener("pointerdown", close);
      document.removeEventListener("keydown", close);
    };
  }, []);
  return (
    <details class="menu" ref={box}>
      <summary aria-label={label} title={label}>⋯</summary>
      <div onClick={() => box.current && (box.current.open = false)}>{children}</div>
    </details>
  );
}

// Tags, hours, heat and sleep of one node. A `value` would be written again with each reading, over what is typed.
function Settings({ node, info, onClose, onError }: {
  node: FarmNode;
  info: FarmInfo | undefined;
  onClose: () => void;
  onError: (text: string) => void;
}) {
  const save = (event: Event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? "").trim();
    const degrees = (name: string) => (text(name) ? Number(text(name)) : null);
    ask("PATCH", `/nodes/${node.id}`, {
      tags: text("tags").split(/[\s,]+/).filter(Boolean),
      schedule: parseHours(text("hours")),
      soft_c: degrees("soft_c"),
      hard_c: degrees("hard_c"),
      sleep_after_s: Number(text("sleep") || 0) * 60,
    })
      .then(onClose)
      .catch((error: Error) => onError(error.message));
  };
  return (
    <form class="settings" onSubmit={save}>
      <label>Tags<input name="tags" defaultValue={node.tags?.join(", ")} placeholder="rtx, basement" /></label>
      <label>
        Hours
        <input name="hours" defaultValue={node.schedule?.length ? hoursText(node.schedule) : ""} placeholder="always; or mon-fri 20:00-07:00; sat,sun" />
      </label>
      <label>
        No new work above, °C
        <input name="soft_c" type="number" min={30} max={120} defaultValue={node.soft_c} placeholder={`${info?.soft_c ?? ""} as everywhere`} />
      </label>
      <label>
        Task moved away above, °C
        <input name="hard_c" type="number" min={30} max={120} defaultValue={node.hard_c} placeholder={`${info?.hard_c ?? ""} as everywhere`} />
      </label>
      <label>
        Sleeps after minutes idle
        <input name="sleep" type="number" min={0} max={10080} defaultValue={node.sleep_after_s ? node.sleep_after_s / 60 : ""} placeholder="never" />
      </label>
      <span class="actions">
        <button type="submit">Save</button>
        <button type="button" onClick={onClose}>Close</button>
      </span>
    </form>
  );
}

function Tile({ node, box, info, jobs, rollout, onError }: {
  node: FarmNode;
  box: BoxKey | undefined; // for those who may see it
  info: FarmInfo | undefined;
  jobs: Job[];
  rollout: Rollout | undefined;
  onError: (text: string) => void;
}) {
  const { operate } = useMay();
  const [isSetUp, setUp] = useState(false);
  const [isKnown, setKnown] = useState(false);
  const running = (node.tasks ?? []).filter((task) => task.state === "rendering" || task.state === "fetching");
  const waiting = (node.tasks ?? []).filter((task) => task.state === "queued").length;
  const delivering = (node.tasks ?? []).filter((task) => task.state === "delivering").length;
  const alive = node.presence === "online" || node.presence === "draining";
  const gpus = node.info?.gpus ?? [];
  const sensors = gpus.length
    ? gpus.map((gpu) => ({
        label: gpu.name,
        gpu: gpu.index as number | undefined,
        temp_c: node.gpus?.find((live) => live.index === gpu.index)?.temp_c,
        load: node.gpus?.find((live) => live.index === gpu.index)?.util_pct,
      }))
    : [{ label: node.info?.cpu ?? "CPU", gpu: undefined, temp_c: node.host?.cpu_temp_c, load: node.host?.cpu_pct }];
  const steer = (verb: string) => () =>
    ask("POST", `/nodes/${node.id}/${verb}`).catch((error: Error) => onError(error.message));
  const send = (method: string, path: string, body?: unknown) => () =>
    ask(method, `/nodes/${node.id}${path}`, body).catch((error: Error) => onError(error.message));
  const renderers = node.info?.renderers ?? [];
  const bundles = node.info?.bundles ?? [];
  const rendererNames = [
    ...renderers.map((one) => `${one.name} ${one.version}`),
    ...bundles.map((one) => (one.fetching ? `${one.name} (fetching)` : one.name)),
  ];
  const state = stateOf(node);
  const enabled = node.enabled !== false;
  const tags = [...new Set([...(node.tags ?? []), ...(node.info?.tags ?? [])])];
  return (
    <article class={`node ${node.presence} ${enabled ? "" : "disabled"}`}>
      <div class="nodename">
        <span class={`dot ${state.tone}`} />
        <strong>{node.name || node.id}</strong>
        <span class="quiet">{state.word}</span>
        {operate && node.quarantine && <button onClick={steer("forgive")}>Forgive</button>}
        {operate && <button onClick={steer(node.drained ? "resume" : "drain")}>{node.drained ? "Resume" : "Drain"}</button>}
        {operate && <Menu label={`More for ${node.name || node.id}`}>
          <button onClick={send("PATCH", "", { enabled: !enabled })}>{enabled ? "Disable" : "Enable"}</button>
          {alive && <button onClick={send("PATCH", "", { reboot: !node.reboot })}>{node.reboot ? "Do not restart" : "Restart when idle"}</button>}
          {alive && <button onClick={send("POST", "/sleep")}>Sleep</button>}
          {!alive && <button onClick={send("POST", "/wake")}>Wake</button>}
          <button onClick={() => setUp(true)}>Settings …</button>
          {box && <button onClick={() => setKnown(true)}>Identity …</button>}
          {!alive && <button class="bad" onClick={send("DELETE", "")}>Forget</button>}
        </Menu>}
      </div>
      {isSetUp && <Settings node={node} info={info} onClose={() => setUp(false)} onError={onError} />}
      {isKnown && box && <Identity box={box} onClose={() => setKnown(false)} onError={onError} />}
      {box?.remark && <p class="warning doubt">{box.remark}</p>}
      {node.hot && <p class="problem">{node.hot}</p>}
      {sensors.map((sensor) => (
        <div class="sensor" key={sensor.gpu ?? "cpu"}>
          <div class="reading">
            {sensor.temp_c !== undefined && alive ? (
              <strong class={`temperature ${tone(sensor.temp_c)}`}>{Math.round(sensor.temp_c)}°</strong>
            ) : (
              <strong class="temperature none" title={alive ? "This box has no temperature sensor that can be read" : "It says nothing now"}>–</strong>
            )}
            {alive && sensor.load !== undefined && <span class="quiet">{Math.round(sensor.load)} % load</span>}
          </div>
          <Sparkline node={node.id} gpu={sensor.gpu} value={alive ? sensor.temp_c ?? sensor.load : undefined} />
          <span class="quiet label">{sensor.label}{gpus.length ? "" : " · no GPU"}</span>
        </div>
      ))}
      {running.map((task) => <Running key={task.task} task={task} jobs={jobs} />)}
      {alive && !running.length && <p class="quiet idle">idle</p>}
      {!alive && <p class="quiet idle">last heard {ago(node.last_seen_ms, Date.now())}</p>}
      {node.update && <UpdateLine update={node.update} rollout={rollout} />}
      {node.update?.problems?.map((one) => <p key={one} class="warning">{one}</p>)}
      {node.quarantine && (
        <p class="problem">
          Quarantined until {new Date(node.quarantine.until_ms).toLocaleTimeString()}: {node.quarantine.reason}
        </p>
      )}
      {alive && renderers.length === 0 && !node.info?.bundles_max_mib && <p class="warning">No renderer here: apt-get install blender</p>}
      {(tags.length > 0 || !!node.schedule?.length) && (
        <p class="quiet labels">
          {tags.map((tag) => <span key={tag} class="tag">{tag}</span>)}
          {!!node.schedule?.length && <span>renders {hoursText(node.schedule)}</span>}
        </p>
      )}
      <p class="quiet foot">
        {rendererNames.join(", ")}
        {node.update && `${rendererNames.length ? " · " : ""}image ${node.update.version}`}
        {node.host && ` · ${gib(node.host.mem_used_mib)} of ${gib(node.host.mem_total_mib)}`}
        {node.host && ` · ${gib(node.host.disk_free_mib)} free`}
        {waiting > 0 && ` · ${waiting} ready`}
        {delivering > 0 && ` · ${delivering} delivering`}
        {` · ${node.tasks_done.toLocaleString("en")} done`}
        {node.utilisation_pct !== undefined && (
          <span title="of the time that it was online, since it is known"> · {Math.round(node.utilisation_pct)} % busy</span>
        )}
      </p>
    </article>
  );
}

export function Nodes({ nodes, boxes, info, jobs, rollout, onError }: {
  nodes: FarmNode[];
  boxes: BoxKey[] | undefined;
  info: FarmInfo | undefined;
  jobs: Job[];
  rollout: Rollout | undefined;
  onError: (text: string) => void;
}) {
  return (
    <section aria-label="Nodes">
      <h2>Nodes</h2>
      {nodes.length ? (
        <div class="nodes">
          {nodes.map((node) => (
            <Tile
              key={node.id} node={node} box={boxes?.find((box) => box.id === node.id)} info={info} jobs={jobs}
              rollout={rollout} onError={onError}
            />
          ))}
        </div>
      ) : (
        <p class="empty">
          No render box yet. On each one: <code>
            kiln-agent --controller {location.origin}
            {location.protocol === "https:" && info?.ca_fingerprint && ` --ca-fingerprint ${info.ca_fingerprint}`}
          </code>
        </p>
      )}
    </section>
  );
}
