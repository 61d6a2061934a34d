CREATE TABLE attempt (
  job           INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
  task          INTEGER NOT NULL,
  number        INTEGER NOT NULL,
  node          TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('assigned', 'running', 'done', 'failed', 'lost', 'superseded',
                                               'cancelled')),
  error_code    TEXT NOT NULL,
  error_message TEXT NOT NULL,
  assigned_ms   INTEGER NOT NULL,
  started_ms    INTEGER NOT NULL,
  finished_ms   INTEGER NOT NULL,
  PRIMARY KEY (job, task, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE counted_limit (
  name  TEXT PRIMARY KEY,
  count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE farm (
  only_row        INTEGER PRIMARY KEY CHECK (only_row = 1),
  id              TEXT NOT NULL,
  epoch           INTEGER NOT NULL,
  last_job_number INTEGER NOT NULL
, fair_share INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE TABLE job (
  number      INTEGER PRIMARY KEY,
  id          TEXT NOT NULL UNIQUE,
  -- the spec, fixed for the life of the job
  name        TEXT NOT NULL,
  renderer    TEXT NOT NULL,
  frames      TEXT NOT NULL,
  chunk       INTEGER NOT NULL,
  manifest    TEXT NOT NULL,
  options     TEXT NOT NULL,  -- JSON
  user        TEXT NOT NULL,
  cid         TEXT NOT NULL,
  created_ms  INTEGER NOT NULL,
  -- what changes
  priority    INTEGER NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('active', 'paused', 'done', 'failed', 'cancelled')),
  shown_state TEXT NOT NULL,  -- as people see and filter it: queued, running, paused, …
  queued      INTEGER NOT NULL,
  running     INTEGER NOT NULL,
  done        INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  cancelled   INTEGER NOT NULL,
  render_s    REAL NOT NULL,
  message     TEXT NOT NULL,
  warnings    TEXT NOT NULL,  -- JSON
  started_ms  INTEGER NOT NULL,
  finished_ms INTEGER NOT NULL
, retries INTEGER NOT NULL DEFAULT -1, fail_pct INTEGER NOT NULL DEFAULT -1, held INTEGER NOT NULL DEFAULT 0, type TEXT NOT NULL DEFAULT '', document TEXT NOT NULL DEFAULT '', steps TEXT NOT NULL DEFAULT '', project TEXT NOT NULL DEFAULT '', sequence TEXT NOT NULL DEFAULT '', shot TEXT NOT NULL DEFAULT '', wishes TEXT NOT NULL DEFAULT '', failed_s REAL NOT NULL DEFAULT 0, lost_s REAL NOT NULL DEFAULT 0, superseded_s REAL NOT NULL DEFAULT 0, step_counts TEXT NOT NULL DEFAULT '', limits TEXT NOT NULL DEFAULT '', bundle TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE node (
  id            TEXT PRIMARY KEY,
  info          TEXT NOT NULL,  -- JSON, as in nodes/<id>/info
  drained       INTEGER NOT NULL,
  presence      TEXT NOT NULL CHECK (presence IN ('unknown', 'online', 'draining', 'offline')),
  sid           INTEGER NOT NULL,
  tasks_done    INTEGER NOT NULL,
  tasks_failed  INTEGER NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms  INTEGER NOT NULL
, quarantine TEXT NOT NULL DEFAULT '', quarantine_until_ms INTEGER NOT NULL DEFAULT 0, settings TEXT NOT NULL DEFAULT '', asleep INTEGER NOT NULL DEFAULT 0, online_s REAL NOT NULL DEFAULT 0, busy_s REAL NOT NULL DEFAULT 0, done_s REAL NOT NULL DEFAULT 0, failed_s REAL NOT NULL DEFAULT 0, lost_s REAL NOT NULL DEFAULT 0, superseded_s REAL NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE renderer (
  name           TEXT PRIMARY KEY,  -- "blender-4.2.1"
  version        TEXT NOT NULL,
  digest         TEXT NOT NULL,  -- of the archive, a blob
  size           INTEGER NOT NULL,
  unpacked_bytes INTEGER NOT NULL,
  program        TEXT NOT NULL,  -- path in the archive
  file           TEXT NOT NULL,
  user           TEXT NOT NULL,
  added_ms       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE result (
  seq         INTEGER PRIMARY KEY,
  job         INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
  task        INTEGER NOT NULL,
  path        TEXT NOT NULL,
  attempt     INTEGER NOT NULL,
  node        TEXT NOT NULL,
  frame       INTEGER NOT NULL,
  digest      TEXT NOT NULL,
  size        INTEGER NOT NULL,
  width       INTEGER NOT NULL,
  height      INTEGER NOT NULL,
  seconds     REAL NOT NULL,
  finished_ms INTEGER NOT NULL, blank TEXT NOT NULL DEFAULT '',
  UNIQUE (job, task, path)
) STRICT;
CREATE TABLE task (
  job           INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
  number        INTEGER NOT NULL,
  state         TEXT NOT NULL
                CHECK (state IN ('queued', 'assigned', 'running', 'done', 'failed', 'cancelled')),
  attempt       INTEGER NOT NULL,
  failures      INTEGER NOT NULL,
  node          TEXT NOT NULL,
  error_code    TEXT NOT NULL,
  error_message TEXT NOT NULL,
  seconds       REAL NOT NULL,
  started_ms    INTEGER NOT NULL,
  finished_ms   INTEGER NOT NULL, blank TEXT NOT NULL DEFAULT '', review TEXT NOT NULL DEFAULT '' CHECK (review IN ('', 'held', 'accepted')), void_up_to INTEGER NOT NULL DEFAULT 0, first_unit INTEGER NOT NULL DEFAULT 0, unit_count INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE unmoved (
  job     INTEGER NOT NULL REFERENCES job (number) ON DELETE CASCADE,
  task    INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  PRIMARY KEY (job, task, attempt)
) STRICT, WITHOUT ROWID;
CREATE TABLE usage (
  hour_ms      INTEGER NOT NULL,
  node         TEXT NOT NULL,
  online_s     REAL NOT NULL,
  busy_s       REAL NOT NULL,
  done_s       REAL NOT NULL,
  failed_s     REAL NOT NULL,
  lost_s       REAL NOT NULL,
  superseded_s REAL NOT NULL,
  PRIMARY KEY (hour_ms, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempt_live ON attempt (job, task, number) WHERE state IN ('assigned', 'running');
CREATE INDEX job_by_project ON job (project);
CREATE INDEX job_by_sequence ON job (project, sequence);
CREATE INDEX job_by_shot ON job (project, sequence, shot);
CREATE INDEX job_by_state ON job (shown_state);
CREATE INDEX job_by_user ON job (user);
CREATE INDEX job_by_user_state ON job (user, shown_state);
CREATE INDEX job_open ON job (number) WHERE state IN ('active', 'paused');
CREATE INDEX task_held ON task (job, number) WHERE review = 'held';
CREATE INDEX task_not_done ON task (job, state, number) WHERE state <> 'done';
CREATE INDEX usage_of_node ON usage (node, hour_ms);
