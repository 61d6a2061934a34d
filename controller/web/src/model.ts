// The farm as the API tells it (controller/api/openapi.yaml), and how live events change it.

export interface TaskCounts {
  queued: number;
  running: number;
  done: number;
  failed: number;
  cancelled: number;
}

export interface Waste {
  failed_s: number;
  lost_s: number;
  superseded_s: number;
}

export interface Step {
  name: string;
  units: number;
  after: string[];
  pairs_with?: string[];
  tasks?: TaskCounts;
}

export interface Reason {
  step?: string;
  node?: string;
  tasks?: number;
  what: string;
}

export interface Production {
  project?: string;
  sequence?: string;
  shot?: string;
}

export interface ProductionTotals extends Production {
  jobs: number;
  jobs_open: number;
  tasks: TaskCounts;
  render_s: number;
  waste: Waste;
}

export interface Job extends Production {
  id: string;
  number: number;
  name: string;
  type: string;
  state: "queued" | "running" | "paused" | "done" | "failed" | "cancelled";
  priority: number;
  user: string;
  frames: string;
  chunk: number;
  tasks: TaskCounts;
  percent: number;
  eta_s?: number;
  message?: string;
  warnings?: string[];
  held?: number;
  device?: "cpu" | "gpu";
  created_ms: number;
  started_ms?: number;
  finished_ms?: number;
  render_s?: number;
  output_dir?: string;
  waste?: Waste;
  steps?: Step[];
  slot_limit?: number;
  node_limit?: number;
  tags?: string[];
  after?: number[];
  start_ms?: number;
}

export interface Task {
  id: string;
  index: number;
  frames: string;
  state: "queued" | "assigned" | "running" | "done" | "failed" | "cancelled";
  attempt: number;
  node?: string;
  error?: { code: string; message: string };
  held?: string;
  seconds?: number;
  percent?: number;
  step?: string;
  units?: { first: number; count: number };
}

export interface HeldTask {
  task: string;
  attempt: number;
  state: "queued" | "fetching" | "rendering" | "delivering";
  slot: number;
  frame: number;
  percent: number;
  eta_s?: number;
}

export interface GpuLive {
  index: number;
  temp_c?: number;
  util_pct?: number;
  power_w?: number;
  mem_mib?: number;
  fan_pct?: number;
}

export interface Host {
  cpu_temp_c?: number;
  cpu_pct: number;
  mem_used_mib: number;
  mem_total_mib: number;
  disk_free_mib: number;
  disk_total_mib: number;
}

export interface NodeInfo {
  name?: string;
  os?: string;
  agent_version?: string;
  cpu?: string;
  cores?: number;
  memory_mib?: number;
  slots?: number;
  renderers?: { name: string; version: string }[];
  // The controller's, which it fetched or fetches now.
  bundles?: { name: string; digest: string; fetching?: boolean }[];
  bundles_max_mib?: number;
  gpus?: { index: number; name: string; memory_mib: number }[];
  tags?: string[];
  mac?: string;
}

// When a node may render, in the controller's local time.
export interface Hours {
  days?: string;
  from?: string;
  to?: string;
}

export interface FarmNode {
  id: string;
  name: string;
  presence: "unknown" | "online" | "draining" | "offline";
  drained: boolean;
  enabled?: boolean;
  tags?: string[];
  schedule?: Hours[];
  off_hours?: boolean;
  soft_c?: number;
  hard_c?: number;
  sleep_after_s?: number;
  reboot?: boolean;
  asleep?: boolean;
  hot?: string;
  utilisation_pct?: number;
  quarantine?: { reason: string; until_ms: number };
  last_seen_ms: number;
  tasks_done: number;
  tasks_failed: number;
  info?: NodeInfo;
  tasks?: HeldTask[];
  gpus?: GpuLive[];
  host?: Host;
  update?: NodeUpdate;
}

// Of a box that runs an image of Kiln's.
export interface NodeUpdate {
  version: string;
  machine?: string;
  slot?: string;
  state: "idle" | "downloading" | "downloaded" | "installing" | "installed" | "restarting" | "good" | "rolled-back" | "failed";
  image?: string;
  rollout?: number;
  percent?: number;
  message?: string;
  problems?: string[]; // what the box's own screen names: a wrong line of kiln.toml, a damaged slot
}

export interface Rollout {
  number: number;
  state: "running" | "paused" | "halted" | "done" | "stopped";
  phase: "canary" | "soak" | "rest";
  reason?: string;
  version: string;
  machine: string;
  window?: Hours[];
  ended_ms?: number;
  counts: { all: number; waiting: number; updating: number; good: number; rolled_back: number; failed: number; skipped: number };
  nodes?: { node: string; step: string; message?: string }[];
}

// A box that has asked to join, and what became of it.
export interface BoxKey {
  id: string;
  fingerprint: string;
  state: "pending" | "approved" | "rejected" | "revoked";
  name: string;
  hardware: string;
  peer: string;
  first_seen_ms: number;
  last_seen_ms: number;
  decided_by?: string;
  remark?: string;
}

// Who looks at the page, as the controller knows them.
export interface Me {
  kind: "user" | "local" | "node" | "anonymous";
  name: string;
  role: "viewer" | "artist" | "operator" | "administrator" | null;
  by: "cookie" | "token" | null;
  farm: string;
}

export interface User {
  name: string;
  role: NonNullable<Me["role"]>;
  disabled: boolean;
  has_password: boolean;
  created_ms: number;
  seen_ms: number; // 0 = never
}

export interface ScriptToken {
  id: string;
  user: string;
  label: string;
  role: NonNullable<Me["role"]>;
  expires_ms: number; // 0 = never
  seen_ms: number;
  token?: string; // the secret, once
}

export interface JoinToken {
  id: string;
  label: string;
  expires_ms: number;
  uses_left: number;
  made_by: string;
  token?: string;
}

export interface Frame {
  job: string;
  task: string;
  node: string;
  frame: number;
  path: string;
  width: number;
  height: number;
  seconds: number;
  finished_ms: number;
  url: string;
  thumbnail: string;
  held?: boolean;
}

export interface Summary {
  nodes_online: number;
  slots: number;
  slots_busy: number;
  tasks_queued: number;
  tasks_running: number;
  tasks_failed: number;
  jobs_active: number;
}

export interface FarmSettings {
  fair_share: boolean;
  limits: Record<string, number>;
}

export interface FarmInfo {
  farm: string;
  version: string;
  ca_fingerprint?: string;
  mqtt: { host: string; port: number };
  alarms: string[];
  settings?: FarmSettings;
  soft_c?: number;
  hard_c?: number;
}

export interface Farm {
  connected: boolean;
  boxes: number; // counts how often the list of boxes that ask has changed: it is read anew by those who may
  info?: FarmInfo;
  summary?: Summary;
  jobs: Job[];
  nodes: FarmNode[];
  frames: Frame[];
  rollout?: Rollout; // the newest
}

export const emptyFarm: Farm = { connected: false, boxes: 0, jobs: [], nodes: [], frames: [] };

export type Change =
  | { type: "connected"; connected: boolean }
  | { type: "snapshot"; data: { farm: FarmInfo; summary: Summary; jobs: Job[]; nodes: FarmNode[]; results: Frame[]; rollout?: Rollout | null } }
  | { type: "job"; data: Job }
  | { type: "job_erased"; data: { id: string } }
  | { type: "node"; data: FarmNode }
  | { type: "node_erased"; data: { id: string } }
  | { type: "farm"; data: FarmSettings }
  | { type: "node_live"; data: Partial<FarmNode> & { id: string } }
  | { type: "task"; data: { job: string; task: string; state: string; results?: Frame[] } }
  | { type: "summary"; data: Summary }
  | { type: "rollout"; data: Rollout }
  | { type: "enrollments"; data: object }
  | { type: "alarm"; data: { alarms: string[] } };

export const changeTypes = ["snapshot", "job", "job_erased", "node", "node_erased", "farm", "node_live", "task", "summary", "rollout", "enrollments", "alarm"] as const;

const framesShown = 24;

function put<T extends { id: string }>(list: T[], item: Partial<T> & { id: string }, compare: (a: T, b: T) => number): T[] {
  const known = list.find((other) => other.id === item.id);
  const merged = { ...known, ...item } as T;
  if (known) return list.map((other) => (other.id === item.id ? merged : other));
  return [...list, merged].sort(compare);
}

const newestFirst = (a: Job, b: Job) => b.number - a.number;
const byName = (a: FarmNode, b: FarmNode) => (a.name || a.id).localeCompare(b.name || b.id, undefined, { numeric: true });

export function change(farm: Farm, event: Change): Farm {
  switch (event.type) {
    case "connected":
      return { ...farm, connected: event.connected };
    case "snapshot":
      return {
        connected: true,
        boxes: farm.boxes + 1,
        info: event.data.farm,
        summary: event.data.summary,
        jobs: [...event.data.jobs].sort(newestFirst),
        nodes: [...event.data.nodes].sort(byName),
        frames: event.data.results.slice(0, framesShown),
        rollout: event.data.rollout ?? undefined,
      };
    case "job":
      // The whole job, as well: a limit or a tag that it does not name any more is gone.
      return { ...farm, jobs: [...farm.jobs.filter((job) => job.id !== event.data.id), event.data].sort(newestFirst) };
    case "job_erased":
      return {
        ...farm,
        jobs: farm.jobs.filter((job) => job.id !== event.data.id),
        frames: farm.frames.filter((frame) => frame.job !== event.data.id),
      };
    case "node":
      // The whole node: what it does not say any more, a quarantine or heat, is over.
      return { ...farm, nodes: [...farm.nodes.filter((node) => node.id !== event.data.id), event.data].sort(byName) };
    case "node_erased":
      return { ...farm, nodes: farm.nodes.filter((node) => node.id !== event.data.id) };
    case "farm":
      return farm.info ? { ...farm, info: { ...farm.info, settings: event.data } } : farm;
    case "node_live":
      // Telemetry of a node that the farm has not introduced yet waits for its `node` event.
      return farm.nodes.some((node) => node.id === event.data.id)
        ? { ...farm, nodes: put(farm.nodes, event.data, byName) }
        : farm;
    case "task":
      if (!event.data.results?.length) {
        const held = event.data.state === "held";
        return { ...farm, frames: farm.frames.map((one) => (one.task === event.data.task ? { ...one, held } : one)) };
      }
      return { ...farm, frames: [...[...event.data.results].reverse(), ...farm.frames].slice(0, framesShown) };
    case "summary":
      return { ...farm, summary: event.data };
    case "rollout":
      return { ...farm, rollout: event.data };
    case "enrollments":
      return { ...farm, boxes: farm.boxes + 1 };
    case "alarm":
      return farm.info ? { ...farm, info: { ...farm.info, alarms: event.data.alarms } } : farm;
  }
}
