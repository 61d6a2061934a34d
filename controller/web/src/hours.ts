// A node's hours as people type and read them: `mon-fri 20:00-07:00; sat,sun`. The controller checks days and times.
import type { Hours } from "./model";

export function hoursText(schedule: Hours[] | undefined): string {
  if (!schedule?.length) return "always";
  return schedule
    .map(({ days, from, to }) => (from === "00:00" && to === "24:00" ? `${days}` : `${days} ${from}-${to}`))
    .join("; ");
}

export function parseHours(text: string): Hours[] {
  const words = text.toLowerCase().split(/[\s;]+/).filter(Boolean);
  if (!words.length || (words.length === 1 && words[0] === "always")) return [];
  const windows: Hours[] = [];
  let days: string | undefined; // waiting for their hours
  for (const word of words) {
    if (!word.includes(":")) {
      if (days) windows.push({ days });
      days = word;
      continue;
    }
    const [from, to] = word.split(/[-–]/).map((time) => time.padStart(5, "0"));
    windows.push({ ...(days && { days }), from, to: to ?? "" });
    days = undefined;
  }
  if (days) windows.push({ days });
  return windows;
}
