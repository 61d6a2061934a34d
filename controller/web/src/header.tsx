import { count } from "./format";
import { Flame } from "./icons";
import type { Farm } from "./model";
import { Who } from "./people";

function Figure({ value, of, label, tone }: { value: number; of?: number; label: string; tone?: string }) {
  return (
    <div class={`figure ${tone ?? ""}`}>
      <strong>
        {value.toLocaleString("en")}
        {of !== undefined && <small> / {of.toLocaleString("en")}</small>}
      </strong>
      <span>{label}</span>
    </div>
  );
}

export function Header({ farm, onLeft }: { farm: Farm; onLeft: () => void }) {
  const summary = farm.summary;
  return (
    <header class="top">
      <div class="brand">
        <Flame />
        <h1>Kiln</h1>
        <span class={`link ${farm.connected ? "up" : "down"}`} role="status">
          {farm.connected ? "live" : "reconnecting …"}
        </span>
      </div>
      <Who onLeft={onLeft} />
      {summary && (
        <div class="figures">
          <Figure value={summary.nodes_online} of={farm.nodes.length} label="nodes online" />
          <Figure value={summary.slots_busy} of={summary.slots} label="slots rendering" />
          <Figure value={summary.tasks_queued} label="tasks waiting" />
          <Figure value={summary.tasks_failed} label="tasks failed" tone={summary.tasks_failed ? "bad" : ""} />
        </div>
      )}
    </header>
  );
}

export function Alarms({ farm }: { farm: Farm }) {
  const alarms = farm.info?.alarms ?? [];
  if (!alarms.length) return null;
  return (
    <section class="alarms" role="alert" aria-label={count(alarms.length, "alarm")}>
      {alarms.map((alarm) => (
        <p key={alarm}>{alarm}</p>
      ))}
    </section>
  );
}
