import { useEffect, useState } from "preact/hooks";
import { ago, count, duration } from "./format";
import type { Job, Task } from "./model";
import { ask } from "./server";

const tasksShown = 1000; // a cell each; the API's largest page

function Bar({ job }: { job: Job }) {
  const total = Math.max(1, Object.values(job.tasks).reduce((sum, n) => sum + n, 0));
  const part = (n: number) => ({ width: `${(100 * n) / total}%` });
  return (
    <div class="bar" role="progressbar" aria-valuenow={Math.round(job.percent)} aria-valuemin={0} aria-valuemax={100}>
      <i class="done" style={part(job.tasks.done)} />
      <i class="running" style={part(job.tasks.running)} />
      <i class="failed" style={part(job.tasks.failed)} />
    </div>
  );
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
  const judge = (task: Task, verb: string) => () =>
    ask("POST", `/tasks/${task.id}/${verb}`).catch((error: Error) => onError(error.message));
  return (
    <>
      {tasks.map((task) => (
        <p key={task.id} class="warning look">
          <span>Frame {task.frames}{task.node ? ` on ${task.node}` : ""}: {task.held}</span>
          <span class="actions">
            <button onClick={judge(task, "accept")}>Accept</button>
            <button onClick={judge(task, "requeue")}>Render again</button>
          </span>
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
  const total = Object.values(job.tasks).reduce((sum, n) => sum + n, 0);
  const failed = tasks.filter((task) => task.error && (task.state === "failed" || task.state === "queued"));
  const title = (task: Task) =>
    [`frame ${task.frames}: ${task.state}`, task.node, task.seconds && duration(task.seconds), task.held ?? task.error?.message]
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
          Frame {task.frames}{task.node ? ` on ${task.node}` : ""}: {task.error?.message}{" "}
          <a href={`/api/v1/tasks/${task.id}/attempts/${task.attempt}/log`} target="_blank" rel="noreferrer">log</a>
        </p>
      ))}
      {failed.length > 10 && <p class="quiet">and {failed.length - 10} more.</p>}
    </>
  );
}

function timing(job: Job): string {
  if (job.state === "running" && job.eta_s !== undefined) return `${duration(job.eta_s)} left`;
  if (job.state === "queued") return job.device === "gpu" ? "waiting for a node with a GPU" : "waiting for a node";
  if (job.state === "paused") return "paused";
  if (job.finished_ms && job.started_ms) return `took ${duration((job.finished_ms - job.started_ms) / 1000)}`;
  return "";
}

function Card({ job, onError }: { job: Job; onError: (text: string) => void }) {
  const [open, setOpen] = useState(false);
  const total = Object.values(job.tasks).reduce((sum, n) => sum + n, 0);
  const act = (method: string, path: string, body?: unknown) => (event: Event) => {
    event.stopPropagation();
    ask(method, `/jobs/${job.id}${path}`, body).catch((error: Error) => onError(error.message));
  };
  const active = job.state === "running" || job.state === "queued";
  return (
    <article class={`job ${job.state}`}>
      <div class="jobline" onClick={() => setOpen(!open)}>
        <div class="jobname">
          <button class="fold" aria-expanded={open} aria-label={open ? "Fold" : "Unfold"}>{open ? "▾" : "▸"}</button>
          <strong>{job.name}</strong>
          <span class="quiet">#{job.number}</span>
          <span class={`state ${job.state}`}>{job.state}</span>
        </div>
        <Bar job={job} />
        <div class="numbers">
          <span>
            {job.tasks.done.toLocaleString("en")} of {count(total, "task")}
            {job.tasks.failed > 0 && <b class="bad"> · {job.tasks.failed} failed</b>}
            {!!job.held && <b class="doubt"> · {job.held} held for a look</b>}
          </span>
          <span>{timing(job)}</span>
        </div>
        <div class="actions">
          {active && <button onClick={act("PATCH", "", { paused: true })}>Pause</button>}
          {job.state === "paused" && <button onClick={act("PATCH", "", { paused: false })}>Resume</button>}
          {(active || job.state === "paused") && <button onClick={act("POST", "/cancel")}>Cancel</button>}
          {(job.state === "failed" || job.tasks.failed > 0) && <button onClick={act("POST", "/retry")}>Retry</button>}
          {job.tasks.done > 0 && job.type !== "noop" && (
            <a class="button" href={`/api/v1/jobs/${job.id}/archive`} onClick={(event) => event.stopPropagation()}>
              Download
            </a>
          )}
        </div>
      </div>
      {job.message && <p class="problem">{job.message}</p>}
      {job.warnings?.map((warning) => <p key={warning} class="warning">{warning}</p>)}
      {!!job.held && <Held job={job} onError={onError} />}
      {open && (
        <div class="details">
          <Tasks job={job} onError={onError} />
          <dl>
            <dt>Frames</dt><dd>{job.frames}</dd>
            <dt>Priority</dt><dd>{job.priority}</dd>
            <dt>Submitted</dt><dd>{ago(job.created_ms, Date.now())} by {job.user}</dd>
            {!!job.render_s && <><dt>Rendered</dt><dd>{duration(job.render_s)} in all</dd></>}
            {job.output_dir && <><dt>Folder</dt><dd class="path">{job.output_dir}</dd></>}
            <dt>Id</dt><dd>{job.id}</dd>
          </dl>
        </div>
      )}
    </article>
  );
}

export function Jobs({ jobs, onError }: { jobs: Job[]; onError: (text: string) => void }) {
  return (
    <section aria-label="Jobs">
      <h2>Jobs</h2>
      {jobs.length ? (
        jobs.map((job) => <Card key={job.id} job={job} onError={onError} />)
      ) : (
        <p class="empty">
          Nothing to render yet. Submit a scene: <code>kiln --server {location.origin} submit scene.blend --frames 1-24</code>
        </p>
      )}
    </section>
  );
}
