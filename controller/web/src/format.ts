// Numbers as people read them.

export function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, "0")} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function ago(unix_ms: number, now_ms: number): string {
  const seconds = Math.max(0, (now_ms - unix_ms) / 1000);
  return seconds < 5 ? "just now" : `${duration(Math.floor(seconds)).replace(".0", "")} ago`;
}

export function gib(mib: number): string {
  return mib >= 1024 ? `${(mib / 1024).toFixed(mib >= 10240 ? 0 : 1)} GB` : `${Math.round(mib)} MB`;
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

export function wasted(waste: { failed_s: number; lost_s: number; superseded_s: number } | undefined): number {
  return waste ? waste.failed_s + waste.lost_s + waste.superseded_s : 0;
}

// A time to come: "20:00" within a day, else with the day.
export function moment(unix_ms: number): string {
  const time = { hour: "2-digit", minute: "2-digit", hour12: false } as const;
  const isSoon = unix_ms - Date.now() < 20 * 3_600_000;
  return new Date(unix_ms).toLocaleString("en", isSoon ? time : { weekday: "short", day: "numeric", month: "short", ...time });
}

export function day(unix_ms: number): string {
  return new Date(unix_ms).toLocaleDateString("en", { dateStyle: "medium" });
}
