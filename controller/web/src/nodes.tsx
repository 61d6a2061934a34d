import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { ago, duration, gib } from "./format";
import type { FarmNode, HeldTask, Job } from "./model";
import { ask } from "./server";

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

function Tile({ node, jobs, onError }: { node: FarmNode; jobs: Job[]; onError: (text: string) => void }) {
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
  const renderers = node.info?.renderers ?? [];
  return (
    <article class={`node ${node.presence}`}>
      <div class="nodename">
        <span class={`dot ${node.presence}`} />
        <strong>{node.name || node.id}</strong>
        <span class="quiet">{alive ? node.presence : `${node.presence}, last heard ${ago(node.last_seen_ms, Date.now())}`}</span>
        {node.quarantine && <button onClick={steer("forgive")}>Forgive</button>}
        <button onClick={steer(node.drained ? "resume" : "drain")}>{node.drained ? "Resume" : "Drain"}</button>
      </div>
      {sensors.map((sensor) => (
        <div class="sensor" key={sensor.gpu ?? "cpu"}>
          <div class="reading">
            {sensor.temp_c !== undefined ? (
              <strong class={`temperature ${tone(sensor.temp_c)}`}>{Math.round(sensor.temp_c)}°</strong>
            ) : (
              <strong class="temperature none" title="This box has no temperature sensor that can be read">–</strong>
            )}
            {alive && sensor.load !== undefined && <span class="quiet">{Math.round(sensor.load)} % load</span>}
          </div>
          <Sparkline node={node.id} gpu={sensor.gpu} value={alive ? sensor.temp_c ?? sensor.load : undefined} />
          <span class="quiet label">{sensor.label}{gpus.length ? "" : " · no GPU"}</span>
        </div>
      ))}
      {running.map((task) => <Running key={task.task} task={task} jobs={jobs} />)}
      {alive && !running.length && <p class="quiet idle">{node.quarantine ? "quarantined" : node.drained ? "drained" : "idle"}</p>}
      {node.quarantine && (
        <p class="problem">
          Quarantined until {new Date(node.quarantine.until_ms).toLocaleTimeString()}: {node.quarantine.reason}
        </p>
      )}
      {alive && renderers.length === 0 && <p class="warning">No renderer here: apt-get install blender</p>}
      <p class="quiet foot">
        {renderers.map((one) => `${one.name} ${one.version}`).join(", ")}
        {node.host && ` · ${gib(node.host.mem_used_mib)} of ${gib(node.host.mem_total_mib)}`}
        {node.host && ` · ${gib(node.host.disk_free_mib)} free`}
        {waiting > 0 && ` · ${waiting} ready`}
        {delivering > 0 && ` · ${delivering} delivering`}
        {` · ${node.tasks_done.toLocaleString("en")} done`}
      </p>
    </article>
  );
}

export function Nodes({ nodes, jobs, onError }: { nodes: FarmNode[]; jobs: Job[]; onError: (text: string) => void }) {
  return (
    <section aria-label="Nodes">
      <h2>Nodes</h2>
      {nodes.length ? (
        <div class="nodes">
          {nodes.map((node) => <Tile key={node.id} node={node} jobs={jobs} onError={onError} />)}
        </div>
      ) : (
        <p class="empty">
          No render box yet. On each one: <code>kiln-agent --controller {location.origin}</code>
        </p>
      )}
    </section>
  );
}
