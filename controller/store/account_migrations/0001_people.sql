CREATE TABLE user (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  password TEXT NOT NULL,  -- argon2id as libsodium writes it; '' = none
  disabled INTEGER NOT NULL,
  created_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE token (
  id TEXT PRIMARY KEY,
  user TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
  hash TEXT NOT NULL,  -- SHA-256 of its secret
  label TEXT NOT NULL,
  role TEXT NOT NULL,
  created_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,  -- 0 = never
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX token_of_user ON token (user);

CREATE TABLE session (
  key TEXT PRIMARY KEY,  -- SHA-256 of the cookie
  user TEXT NOT NULL REFERENCES user ON DELETE CASCADE,
  created_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_of_user ON session (user, seen_ms);
CREATE INDEX session_by_age ON session (seen_ms);

CREATE TABLE deed (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- a number is never given again
  at_ms INTEGER NOT NULL,
  caller TEXT NOT NULL,
  role TEXT NOT NULL,
  peer TEXT NOT NULL,
  method TEXT NOT NULL,
  path TEXT NOT NULL,
  what TEXT NOT NULL,
  status INTEGER NOT NULL
) STRICT;
CREATE INDEX deed_of_caller ON deed (caller, seq);
