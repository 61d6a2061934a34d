import { useEffect, useState } from "preact/hooks";
import { ago, count, duration, moment, wasted } from "./format";
import type { FarmNode, Job, Reason, Step, Task, TaskCounts } from "./model";
import { everything, Filter, isIn, type Place, placeText } from "./productions";
import { useMay } from "./people";
import { ask } from "./server";

const tasksShown = 1000; // a cell each; the API's largest page

const totalOf = (tasks: TaskCounts) => Object.values(tasks).reduce((sum, n) => sum + n, 0);

function Bar({ tasks, percent }: { tasks: TaskCounts; percent: number }) {
  const total = Math.max(1, totalOf(tasks));
  const part = (n: number) => ({ width: `${(100 * n) / total}%` });
  return (
    <div class="bar" role="progressbar" aria-valuenow={Math.round(percent)} aria-valuemin={0} aria-valuemax={100}>
      <i class="done" style={part(tasks.done)} />
      <i class="running" style={part(tasks.running)} />
      <i class="failed" style={part(tasks.failed)} />
    </div>
  );
}

// A step a cell, in the order of the template, with what it waits for as its title.
function Steps({ steps }: { steps: Step[] }) {
  return (
    <ol class="steps" aria-label="Steps">
      {steps.map((step) => {
        const waits = [...step.after, ...(step.pairs_with ?? []).map((name) => `${name}, task by task`)];
        const total = step.tasks ? totalOf(step.tasks) : 0;
        return (
          <li key={step.name} title={waits.length ? `after ${waits.join(", ")}` : undefined}>
            <div class="numbers">
              <span class="stepname">{step.name}</span>
              {step.tasks && (
                <span>
                  {step.tasks.done.toLocaleString("en")} / {total.toLocaleString("en")}
                  {step.tasks.failed > 0 && <b class="bad"> · {step.tasks.failed} failed</b>}
                </span>
              )}
            </div>
            {step.tasks && <Bar tasks={step.tasks} percent={(100 * step.tasks.done) / Math.max(1, total)} />}
          </li>
        );
      })}
    </ol>
  );
}

const settled_ms = 1000; // between two frames everything waits for a moment: not worth a question

// Asked again when something moved that can change the answer: the job itself, or what a node is at.
function useReasons(job: Job, nodes: FarmNode[], isAsked: boolean): Reason[] | undefined {
  const [reasons, setReasons] = useState<Reason[]>();
  const about = JSON.stringify([
    job.tasks, job.state, job.priority, job.slot_limit, job.node_limit, job.tags, job.after, job.start_ms,
    nodes.map((one) => [one.id, one.presence, one.enabled, one.drained, one.asleep, one.hot, one.off_hours, one.reboot, one.tags, !!one.quarantine]),
  ]);
  useEffect(() => {
    if (!isAsked) return setReasons(undefined);
    let current = true;
    const timer = window.setTimeout(() => {
      ask<{ reasons: Reason[] }>("GET", `/jobs/${job.id}/why`)
        .then((answer) => current && setReasons(answer.reasons))
        .catch(() => current && setReasons(undefined)); // the line says what it can without
    }, settled_ms);
    return () => {
      current = false;
      window.clearTimeout(timer);
    };
  }, [job.id, about, isAsked]);
  return reasons;
}

function reasonText(reason: Reason): string {
  return [reason.step && `Step ${reason.step}: `, reason.node && `${reason.node}: `, reason.what].filter(Boolean).join("");
}

// Why it waits: the first reason in a line, the others on demand.
function Why({ reasons }: { reasons: Reason[] }) {
  const [open, setOpen] = useState(false);
  const rest = reasons.slice(1);
  return (
    <div class="why">
      <p>
        <span>{reasonText(reasons[0])}</span>
        {rest.length > 0 && (
          <button aria-expanded={open} onClick={() => setOpen(!open)}>{open ? "Less" : `${rest.length} more`}</button>
        )}
      </p>
      {open && (
        <ul>
          {rest.map((reason, i) => (
            <li key={i}>
              {reason.node && <strong>{reason.node}</strong>}
              {reason.step && <span class="tag">{reason.step}</span>}
              <span>{reason.what}{reason.tasks ? ` (${count(reason.tasks, "task")})` : ""}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

// What a person may change while it lives. A field is sent when it is left with another value. What is typed stays
// while the job goes on; another's change is shown by a new field.
function Wishes({ job, onError }: { job: Job; onError: (text: string) => void }) {
  const number = (label: string, key: "priority" | "slot_limit" | "node_limit", none?: string) => (
    <label key={`${key} ${job[key]}`}>
      {label}
      <input
        type="number" min={0} max={key === "priority" ? 100 : undefined} placeholder={none}
        defaultValue={job[key] ?? ""}
        onChange={(event) => {
          const input = event.currentTarget;
          ask("PATCH", `/jobs/${job.id}`, { [key]: Number(input.value) }).catch((error: Error) => {
            input.value = String(job[key] ?? "");
            onError(error.message);
          });
        }}
      />
    </label>
  );
  return (
    <div class="wishes">
      {number("Priority", "priority")}
      {number("Tasks at once", "slot_limit", "no limit")}
      {number("Nodes at once", "node_limit", "no limit")}
    </div>
  );
}

// What a task holds: frames, or points of its step's parameter space.
function workText(task: Task): string {
  const step = task.step ? `${task.step}, ` : "";
  if (task.frames) return step ? `${step}frame ${task.frames}` : `Frame ${task.frames}`;
  if (!task.units) return task.step ?? `Task ${task.index}`;
  const { first, count: units } = task.units;
  return units > 1 ? `${step}points ${first + 1} to ${first + units}` : `${step}point ${first + 1}`;
}

// Frames that are blank among others that are not: a person says what they are.
function Held({ job, onError }: { job: Job; onError: (text: string) => void }) {
  const [tasks, setTasks] = useState<Task[]>([]);
  useEffect(() => {
    let current = true;
    ask<{ tasks: Task[] }>("GET", `/jobs/${job.id}/tasks?state=held&limit=10`)
      .then((page) => current && setTasks(page.tasks))
      .catch((error: Error) => onError(error.message));
    return () => {
      current = false;
    };
  }, [job.id, job.held]);
  const may = useMay().steer(job);
  const judge = (task: Task, verb: string) => () =>
    ask("POST", `/tasks/${task.id}/${verb}`).catch((error: Error) => onError(error.message));
  return (
    <>
      {tasks.map((task) => (
        <p key={task.id} class="warning look">
          <span>{workText(task)}{task.node ? ` on ${task.node}` : ""}: {task.held}</span>
          {may && (
            <span class="actions">
              <button onClick={judge(task, "accept")}>Accept</button>
              <button onClick={judge(task, "requeue")}>Render again</button>
            </span>
          )}
        </p>
      ))}
      {(job.held ?? 0) > tasks.length && tasks.length > 0 && (
        <p class="quiet">and {(job.held ?? 0) - tasks.length} more.</p>
      )}
    </>
  );
}

// One cell a task. Read again when the job's counts change, which is at most once a second.
function Tasks({ job, onError }: { job: Job; onError: (text: string) => void }) {
  const [tasks, setTasks] = useState<Task[]>();
  const counts = JSON.stringify(job.tasks);
  useEffect(() => {
    let current = true;
    ask<{ tasks: Task[] }>("GET", `/jobs/${job.id}/tasks?limit=${tasksShown}`)
      .then((page) => current && setTasks(page.tasks))
      .catch((error: Error) => onError(error.message));
    return () => {
      current = false;
    };
  }, [job.id, counts, job.held]);
  if (!tasks) return <p class="quiet">…</p>;
  const total = totalOf(job.tasks);
  const failed = tasks.filter((task) => task.error && (task.state === "failed" || task.state === "queued"));
  const title = (task: Task) =>
    [`${workText(task)}: ${task.state}`, task.node, task.seconds && duration(task.seconds), task.held ?? task.error?.message]
      .filter(Boolean)
      .join(" · ");
  return (
    <>
      <div class="cells">
        {tasks.map((task) => (
          <i key={task.id} class={task.held ? "look" : task.state} title={title(task)} />
        ))}
      </div>
      {total > tasks.length && <p class="quiet">The first {tasks.length} of {count(total, "task")}.</p>}
      {failed.slice(0, 10).map((task) => (
        <p key={task.id} class="problem">
          {workText(task)}{task.node ? ` on ${task.node}` : ""}: {task.error?.message}{" "}
          <a href={`/api/v1/tasks/${task.id}/attempts/${task.attempt}/log`} target="_blank" rel="noreferrer">log</a>
        </p>
      ))}
      {failed.length > 10 && <p class="quiet">and {failed.length - 10} more.</p>}
    </>
  );
}

// Nothing of it runs, and something would.
function isWaiting(job: Job): boolean {
  return (job.state === "queued" || job.state === "running") && job.tasks.queued > 0 && job.tasks.running === 0;
}

function timing(job: Job, reasons: Reason[] | undefined): string {
  if (job.state === "running" && job.eta_s !== undefined) return `${duration(job.eta_s)} left`;
  if (isWaiting(job)) {
    if (job.start_ms && job.start_ms > Date.now()) return `starts ${moment(job.start_ms)}`;
    if (reasons?.length) return "waiting";
    return job.device === "gpu" ? "waiting for a node with a GPU" : "waiting for a node";
  }
  if (job.state === "paused") return "paused";
  if (job.finished_ms && job.started_ms) return `took ${duration((job.finished_ms - job.started_ms) / 1000)}`;
  return "";
}

function Card({ job, nodes, explains, onError }: {
  job: Job;
  nodes: FarmNode[];
  explains: boolean;
  onError: (text: string) => void;
}) {
  const may = useMay().steer(job);
  const [open, setOpen] = useState(false);
  const total = totalOf(job.tasks);
  const act = (method: string, path: string, body?: unknown) => (event: Event) => {
    event.stopPropagation();
    ask(method, `/jobs/${job.id}${path}`, body).catch((error: Error) => onError(error.message));
  };
  const active = job.state === "running" || job.state === "queued";
  const lives = active || job.state === "paused";
  // Of a job that renders as well, once somebody looks into it: what of it waits, and for what.
  const reasons = useReasons(job, nodes, job.tasks.queued > 0 && lives && ((explains && isWaiting(job)) || open));
  const waste_s = wasted(job.waste);
  const place = placeText(job);
  return (
    <article class={`job ${job.state}`}>
      <div class="jobline" onClick={() => setOpen(!open)}>
        <div class="jobname">
          <button class="fold" aria-expanded={open} aria-label={open ? "Fold" : "Unfold"}>{open ? "▾" : "▸"}</button>
          <div class="names">
            <strong>{job.name}</strong>
            {place && <span class="quiet place">{place}</span>}
          </div>
          <span class="quiet">#{job.number}</span>
          <span class={`state ${job.state}`}>{job.state}</span>
        </div>
        <Bar tasks={job.tasks} percent={job.percent} />
        <div class="numbers">
          <span>
            {job.tasks.done.toLocaleString("en")} of {count(total, "task")}
            {job.tasks.failed > 0 && <b class="bad"> · {job.tasks.failed} failed</b>}
            {!!job.held && <b class="doubt"> · {job.held} held for a look</b>}
          </span>
          <span>{timing(job, reasons)}</span>
        </div>
        <div class="actions">
          {may && active && <button onClick={act("PATCH", "", { paused: true })}>Pause</button>}
          {may && job.state === "paused" && <button onClick={act("PATCH", "", { paused: false })}>Resume</button>}
          {may && lives && <button onClick={act("POST", "/cancel")}>Cancel</button>}
          {may && (job.state === "failed" || job.tasks.failed > 0) && <button onClick={act("POST", "/retry")}>Retry</button>}
          {job.tasks.done > 0 && job.type !== "noop" && (
            <a class="button" href={`/api/v1/jobs/${job.id}/archive`} onClick={(event) => event.stopPropagation()}>
              Download
            </a>
          )}
        </div>
      </div>
      {(job.steps?.length ?? 0) > 1 && <Steps steps={job.steps!} />}
      {!!reasons?.length && <Why reasons={reasons} />}
      {job.message && <p class="problem">{job.message}</p>}
      {job.warnings?.map((warning) => <p key={warning} class="warning">{warning}</p>)}
      {!!job.held && <Held job={job} onError={onError} />}
      {open && (
        <div class="details">
          <Tasks job={job} onError={onError} />
          {may && lives && <Wishes job={job} onError={onError} />}
          <dl>
            {job.frames && <><dt>Frames</dt><dd>{job.frames}</dd></>}
            <dt>Type</dt><dd>{job.type}</dd>
            {!(may && lives) && <><dt>Priority</dt><dd>{job.priority}</dd></>}
            {!!job.tags?.length && <><dt>Needs</dt><dd>{job.tags.map((tag) => <span key={tag} class="tag">{tag}</span>)}</dd></>}
            {!!job.after?.length && <><dt>After</dt><dd>{job.after.map((number) => `#${number}`).join(", ")}</dd></>}
            <dt>Submitted</dt><dd>{ago(job.created_ms, Date.now())} by {job.user}</dd>
            {!!job.render_s && <><dt>Rendered</dt><dd>{duration(job.render_s)} in all</dd></>}
            {waste_s > 0 && job.waste && (
              <>
                <dt>Wasted</dt>
                <dd>
                  {duration(waste_s)}: {duration(job.waste.failed_s)} failed, {duration(job.waste.lost_s)} lost with nodes,{" "}
                  {duration(job.waste.superseded_s)} outrun by others
                </dd>
              </>
            )}
            {job.output_dir && <><dt>Folder</dt><dd class="path">{job.output_dir}</dd></>}
            <dt>Id</dt><dd>{job.id}</dd>
          </dl>
          {may && lives && job.tasks.done + job.tasks.failed > 0 && (
            <button onClick={act("POST", "/requeue", { which: "all" })}>Render all that has ended again</button>
          )}
        </div>
      )}
    </article>
  );
}

const explainedByThemselves = 10; // jobs at the top that wait; the others say why when they are opened

export function Jobs({ jobs, nodes, onError }: { jobs: Job[]; nodes: FarmNode[]; onError: (text: string) => void }) {
  const [place, setPlace] = useState<Place>(everything);
  const shown = jobs.filter((job) => isIn(place, job));
  const explained = new Set(shown.filter(isWaiting).slice(0, explainedByThemselves).map((job) => job.id));
  return (
    <section aria-label="Jobs">
      <h2>Jobs</h2>
      <Filter jobs={jobs} place={place} onPlace={setPlace} />
      {shown.map((job) => (
        <Card key={job.id} job={job} nodes={nodes} explains={explained.has(job.id)} onError={onError} />
      ))}
      {!shown.length && jobs.length > 0 && <p class="empty">None of the newest jobs is of this.</p>}
      {!jobs.length && (
        <p class="empty">
          Nothing to render yet. Submit a scene: <code>kiln --server {location.origin} submit scene.blend --frames 1-24</code>
        </p>
      )}
    </section>
  );
}
