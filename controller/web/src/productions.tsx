import { useEffect, useState } from "preact/hooks";
import { count, duration, wasted } from "./format";
import type { Job, Production, ProductionTotals } from "./model";
import { ask } from "./server";

// Which part of which production is looked at; undefined: all of it.
export type Place = Production;
export const everything: Place = {};

export function isIn(place: Place, job: Production): boolean {
  return (
    (place.project === undefined || (job.project ?? "") === place.project) &&
    (place.sequence === undefined || (job.sequence ?? "") === place.sequence) &&
    (place.shot === undefined || (job.shot ?? "") === place.shot)
  );
}

export function placeText(job: Production): string {
  return [job.project, job.sequence, job.shot].filter(Boolean).join(" / ");
}

const question = (parts: Record<string, string | undefined>) => {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parts)) if (value !== undefined) query.set(key, value);
  return query.toString();
};

function Choice({ label, value, names, onChoose }: {
  label: string;
  value: string | undefined;
  names: string[];
  onChoose: (value: string | undefined) => void;
}) {
  // "=" before a name: jobs without one are named by nothing, and "all" is no name.
  return (
    <label>
      {label}
      <select
        value={value === undefined ? "all" : `=${value}`}
        onChange={(event) => onChoose(event.currentTarget.value === "all" ? undefined : event.currentTarget.value.slice(1))}
      >
        <option value="all">all</option>
        {names.map((name) => (
          <option key={name} value={`=${name}`}>{name || "(none)"}</option>
        ))}
      </select>
    </label>
  );
}

// The names of one level with their totals, of the whole farm and not only of the jobs on this page. Asked again when
// the jobs on it end or come.
function useTotals(of: { project?: string; sequence?: string }, isAsked: boolean, about: string): ProductionTotals[] {
  const [rows, setRows] = useState<ProductionTotals[]>([]);
  const query = question({ ...of, limit: "1000" });
  useEffect(() => {
    if (!isAsked) return setRows([]);
    let current = true;
    ask<{ productions: ProductionTotals[] }>("GET", `/productions?${query}`)
      .then((answer) => current && setRows(answer.productions))
      .catch(() => undefined); // an older controller: no filter
    return () => {
      current = false;
    };
  }, [query, isAsked, about]);
  return rows;
}

export function Filter({ jobs, place, onPlace }: { jobs: Job[]; place: Place; onPlace: (place: Place) => void }) {
  const about = JSON.stringify(jobs.map((job) => [job.id, job.state]));
  const projects = useTotals({}, jobs.length > 0, about);
  const sequences = useTotals({ project: place.project }, place.project !== undefined, about);
  const shots = useTotals({ project: place.project, sequence: place.sequence }, place.sequence !== undefined, about);
  if (!projects.some((row) => row.project)) return null; // nobody here names productions
  const names = (rows: ProductionTotals[], key: keyof Production) => rows.map((row) => row[key] ?? "");
  const totals =
    place.shot !== undefined ? shots.find((row) => (row.shot ?? "") === place.shot)
    : place.sequence !== undefined ? sequences.find((row) => (row.sequence ?? "") === place.sequence)
    : projects.find((row) => (row.project ?? "") === place.project);
  const tasks = totals ? Object.values(totals.tasks).reduce((sum, n) => sum + n, 0) : 0;
  return (
    <div class="filter">
      <Choice
        label="Project" value={place.project} names={names(projects, "project")}
        onChoose={(project) => onPlace({ project })}
      />
      {place.project !== undefined && (
        <Choice
          label="Sequence" value={place.sequence} names={names(sequences, "sequence")}
          onChoose={(sequence) => onPlace({ project: place.project, sequence })}
        />
      )}
      {place.sequence !== undefined && (
        <Choice
          label="Shot" value={place.shot} names={names(shots, "shot")}
          onChoose={(shot) => onPlace({ project: place.project, sequence: place.sequence, shot })}
        />
      )}
      {totals && (
        <span class="quiet">
          {count(totals.jobs, "job")}, {totals.jobs_open} open · {totals.tasks.done.toLocaleString("en")} of {count(tasks, "task")}
          {" · "}{duration(totals.render_s)} rendered
          {wasted(totals.waste) > 0 && ` · ${duration(wasted(totals.waste))} wasted`}
        </span>
      )}
    </div>
  );
}
