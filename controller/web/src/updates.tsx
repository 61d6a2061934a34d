// How boxes with an image of Kiln's stand with it: a line in each tile, and the rollout that is under way.
import { count } from "./format";
import { hoursText } from "./hours";
import type { NodeUpdate, Rollout } from "./model";
import { useMay } from "./people";
import { ask } from "./server";

const day_ms = 24 * 3_600_000; // so long the end of a rollout is news

const words: Record<NodeUpdate["state"], string> = {
  idle: "",
  downloading: "downloading",
  downloaded: "downloaded",
  installing: "installing",
  installed: "installed, restarts when idle",
  restarting: "restarting",
  good: "",
  "rolled-back": "rolled back",
  failed: "failed",
};

// What this box runs, and what it is being given.
export function UpdateLine({ update, rollout }: { update: NodeUpdate; rollout: Rollout | undefined }) {
  const target = rollout && update.rollout === rollout.number ? rollout.version : undefined;
  const isMoving = update.state === "downloading" || update.state === "installing";
  const isBad = update.state === "failed" || update.state === "rolled-back";
  if (isBad) {
    return (
      <p class="problem">
        Image {update.version}: the update{target && ` to ${target}`} {update.state === "failed" ? "failed" : "was rolled back"}
        {update.message && `: ${update.message}`}
        {update.state === "rolled-back" && ". Its other slot is bad until an image is installed there anew."}
      </p>
    );
  }
  if (!words[update.state]) return null;
  return (
    <div class="held update">
      <div class="numbers">
        <span>
          image {update.version}
          {target && <> → <strong>{target}</strong></>} · {words[update.state]}
        </span>
        {isMoving && <span>{Math.floor(update.percent ?? 0)} %</span>}
      </div>
      {isMoving && <div class="bar"><i class="running" style={{ width: `${update.percent ?? 0}%` }} /></div>}
      {update.message && <p class="quiet">{update.message}</p>}
    </div>
  );
}

const phases = { canary: "some boxes go first", soak: "the first ones are good and are watched", rest: "the rest follows" };

export function RolloutPanel({ rollout, onError }: { rollout: Rollout; onError: (text: string) => void }) {
  const { operate } = useMay();
  const isOver = rollout.state === "done" || rollout.state === "stopped";
  if (isOver && Date.now() - (rollout.ended_ms ?? 0) > day_ms) return null;
  const { counts } = rollout;
  const steer = (verb: string) => () =>
    ask("POST", `/rollouts/${rollout.number}/${verb}`).catch((error: Error) => onError(error.message));
  const share = (many: number) => ({ width: `${(100 * many) / Math.max(1, counts.all)}%` });
  const bad = (rollout.nodes ?? []).filter((one) => one.step === "failed" || one.step === "rolled-back");
  const tone = rollout.state === "halted" ? "failed" : rollout.state === "stopped" ? "" : rollout.state;
  return (
    <section aria-label="Update">
      <h2>Update</h2>
      <div class="panel rollout">
        <div class="jobname">
          <strong>Image {rollout.version}</strong>
          <span class={`state ${tone}`}>{rollout.state}</span>
          {operate && !isOver && (
            <span class="actions">
              {rollout.state === "running" ? (
                <button onClick={steer("pause")}>Pause</button>
              ) : (
                <button onClick={steer("resume")}>Resume</button>
              )}
              <button onClick={steer("stop")}>Stop</button>
            </span>
          )}
        </div>
        <div class="bar">
          <i class="done" style={share(counts.good)} />
          <i class="running" style={share(counts.updating)} />
          <i class="failed" style={share(counts.failed + counts.rolled_back)} />
        </div>
        <p class="quiet">
          {counts.good} of {count(counts.all, "box", "boxes")} good
          {counts.updating > 0 && ` · ${counts.updating} under way`}
          {counts.waiting > 0 && ` · ${counts.waiting} waiting`}
          {counts.skipped > 0 && ` · ${counts.skipped} away`}
          {!isOver && rollout.state !== "halted" && ` · ${phases[rollout.phase]}`}
          {!!rollout.window?.length && ` · restarts ${hoursText(rollout.window)}`}
        </p>
        {rollout.reason && rollout.state === "halted" && <p class="problem">Halted: {rollout.reason}</p>}
        {bad.length > 0 && rollout.state !== "halted" && (
          <p class="warning">{bad.map((one) => `${one.node}: ${one.message ?? one.step}`).join("; ")}</p>
        )}
      </div>
    </section>
  );
}
