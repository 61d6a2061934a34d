// Who may use the farm and by what: the own password, keys for scripts, everybody's accounts; tokens that let boxes in.
import { type ComponentChildren } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import { Sure } from "./boxes";
import { ago, day } from "./format";
import type { JoinToken, Me, ScriptToken, User } from "./model";
import { MeContext, useMay } from "./people";
import { ask } from "./server";

type OnError = (text: string) => void;
const roles: NonNullable<Me["role"]>[] = ["viewer", "artist", "operator", "administrator"];

// A list of the controller's, read when it is first looked at and after each change made here.
function useList<T>(path: string, member: string, onError: OnError) {
  const [list, setList] = useState<T[]>();
  const read = () =>
    ask<Record<string, T[]>>("GET", path)
      .then((answer) => setList(answer[member]))
      .catch((error: Error) => onError(error.message));
  useEffect(() => void read(), []);
  // Resolves to the answer; undefined when it was refused, which has been said then.
  const change = <A,>(method: string, where: string, body?: unknown) =>
    ask<A>(method, where, body)
      .then((answer) => read().then(() => answer ?? ({} as A)))
      .catch((error: Error) => {
        onError(error.message);
        return undefined;
      });
  return { list, change };
}

// What is in it is asked for and shown once it is opened.
function Fold({ title, children }: { title: string; children: () => ComponentChildren }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="fold-panel" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{title}</summary>
      {isOpen && children()}
    </details>
  );
}

// Calls back with the form's fields; empties it when that resolves to something.
function onSubmit(send: (fields: Record<string, string>) => Promise<unknown>) {
  return (event: Event) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const fields = Object.fromEntries([...new FormData(form)].map(([key, value]) => [key, String(value)]));
    void send(fields).then((answer) => answer !== undefined && form.reset());
  };
}

// What is shown this once.
function Secret({ text, what }: { text: string; what: string }) {
  return (
    <p role="status">
      <small class="quiet">{what}</small>
      <br />
      <code class="secret">{text}</code>
    </p>
  );
}

function Password({ name, onError }: { name: string; onError: OnError }) {
  const [isDone, setDone] = useState(false);
  const send = (fields: Record<string, string>) => {
    setDone(false);
    return ask<User>("PATCH", `/users/${name}`, { old_password: fields.old, password: fields.new })
      .then((user) => {
        setDone(true);
        return user;
      })
      .catch((error: Error) => onError(error.message));
  };
  return (
    <form class="line" onSubmit={onSubmit(send)} aria-label="Change your password">
      <input type="text" name="username" value={name} autocomplete="username" hidden />
      <input type="password" name="old" placeholder="present password" aria-label="Present password" autocomplete="current-password" required />
      <input type="password" name="new" placeholder="new, 10 or more" aria-label="New password" autocomplete="new-password" minLength={10} maxLength={256} required />
      <button type="submit">Change</button>
      {isDone && <span class="quiet" role="status">It is changed.</span>}
    </form>
  );
}

function Tokens({ onError }: { onError: OnError }) {
  const me = useContext(MeContext);
  const { list, change } = useList<ScriptToken>("/tokens", "tokens", onError);
  const [made, setMade] = useState<string>();
  const add = (fields: Record<string, string>) =>
    change<ScriptToken>("POST", "/tokens", {
      label: fields.label,
      expires_s: Number(fields.days) * 86400,
      ...(me.kind === "user" ? {} : { user: fields.user }),
    }).then((token) => {
      if (token) setMade(token.token);
      return token;
    });
  return (
    <>
      <ul class="rows">
        {list?.map((token) => (
          <li key={token.id}>
            <span>
              <strong>{token.label}</strong>
              <span class="quiet">
                {" "}{token.user}, {token.role} · {token.seen_ms ? `used ${ago(token.seen_ms, Date.now())}` : "never used"} ·{" "}
                {token.expires_ms ? `ends ${day(token.expires_ms)}` : "never ends"}
              </span>
            </span>
            <Sure label="Remove" question="Refuse it from now on?" yes="Remove" onYes={() => void change("DELETE", `/tokens/${token.id}`)} />
          </li>
        ))}
        {list?.length === 0 && <li class="quiet">There are none.</li>}
      </ul>
      <form class="line" onSubmit={onSubmit(add)} aria-label="Make a token">
        <input name="label" placeholder="what it is for" aria-label="What the token is for" maxLength={64} required />
        {me.kind !== "user" && <input name="user" placeholder="whose" aria-label="Whose token it is" pattern="[a-z0-9\-]{1,32}" required />}
        <select name="days" aria-label="How long the token lasts">
          <option value="365">a year</option>
          <option value="30">a month</option>
          <option value="0">for ever; serves over MQTT too</option>
        </select>
        <button type="submit">Make a token</button>
      </form>
      {made && <Secret text={made} what="Shown this once: KILN_TOKEN of a script, or the bearer token of a request." />}
    </>
  );
}

function Users({ onError }: { onError: OnError }) {
  const { list, change } = useList<User>("/users", "users", onError);
  const add = (fields: Record<string, string>) =>
    change("POST", "/users", { name: fields.name.trim(), role: fields.role, ...(fields.password && { password: fields.password }) });
  return (
    <>
      <ul class="rows">
        {list?.map((user) => (
          <li key={user.name}>
            <span>
              <strong>{user.name}</strong>
              <span class="quiet">
                {" "}{user.disabled ? "disabled" : user.seen_ms ? `seen ${ago(user.seen_ms, Date.now())}` : "not seen yet"}
                {!user.has_password && " · tokens only"}
              </span>
            </span>
            <span class="actions">
              <select
                aria-label={`Role of ${user.name}`} value={user.role}
                onChange={(event) => void change("PATCH", `/users/${user.name}`, { role: event.currentTarget.value })}
              >
                {roles.map((role) => <option key={role} value={role}>{role}</option>)}
              </select>
              <button onClick={() => void change("PATCH", `/users/${user.name}`, { disabled: !user.disabled })}>
                {user.disabled ? "Enable" : "Disable"}
              </button>
              <Sure label="Remove" question="With all tokens?" yes="Remove" onYes={() => void change("DELETE", `/users/${user.name}`)} />
            </span>
          </li>
        ))}
        {list?.length === 0 && <li class="quiet">Nobody yet.</li>}
      </ul>
      <form class="line" onSubmit={onSubmit(add)} aria-label="Add a user">
        <input name="name" placeholder="name" aria-label="Name of the new user" pattern="[a-z0-9\-]{1,32}" title="1 to 32 of a-z, 0-9 and -" autocomplete="off" autocapitalize="none" required />
        <select name="role" aria-label="Role of the new user">
          {["artist", ...roles.filter((role) => role !== "artist")].map((role) => <option key={role} value={role}>{role}</option>)}
        </select>
        <input name="password" type="password" placeholder="password, or none" aria-label="Password of the new user" autocomplete="new-password" minLength={10} maxLength={256} />
        <button type="submit">Add</button>
      </form>
    </>
  );
}

function JoinTokens({ onError }: { onError: OnError }) {
  const { list, change } = useList<JoinToken>("/join-tokens", "tokens", onError);
  const [made, setMade] = useState<string>();
  const add = (fields: Record<string, string>) =>
    change<JoinToken>("POST", "/join-tokens", { label: fields.label, uses: Number(fields.uses), days: Number(fields.days) }).then((token) => {
      if (token) setMade(token.token);
      return token;
    });
  return (
    <>
      <p class="quiet">A box whose <code>kiln.toml</code> holds such a token joins without being asked about.</p>
      <ul class="rows">
        {list?.map((token) => (
          <li key={token.id}>
            <span>
              <strong>{token.label || token.id}</strong>
              <span class="quiet"> {token.uses_left} more · ends {day(token.expires_ms)} · by {token.made_by}</span>
            </span>
            <Sure label="Remove" question="Nobody joins with it any more?" yes="Remove" onYes={() => void change("DELETE", `/join-tokens/${token.id}`)} />
          </li>
        ))}
        {list?.length === 0 && <li class="quiet">There are none.</li>}
      </ul>
      <form class="line" onSubmit={onSubmit(add)} aria-label="Make a join token">
        <input name="label" placeholder="what it is for" aria-label="What the join token is for" maxLength={64} />
        <label>boxes <input name="uses" type="number" min={1} max={10000} defaultValue={1} required /></label>
        <label>days <input name="days" type="number" min={1} max={3650} defaultValue={7} required /></label>
        <button type="submit">Make a join token</button>
      </form>
      {made && <Secret text={made} what="Shown this once: join_token of the boxes' kiln.toml." />}
    </>
  );
}

function Expected({ onError }: { onError: OnError }) {
  const { list, change } = useList<string>("/known-fingerprints", "fingerprints", onError);
  const add = (fields: Record<string, string>) => change("POST", "/known-fingerprints", { fingerprint: fields.fingerprint.trim() });
  return (
    <>
      <p class="quiet">Boxes with these fingerprints join when they ask.</p>
      <ul class="rows">
        {list?.map((fingerprint) => (
          <li key={fingerprint}>
            <span class="path">{fingerprint}</span>
            <button onClick={() => void change("DELETE", `/known-fingerprints/${fingerprint}`)}>Remove</button>
          </li>
        ))}
        {list?.length === 0 && <li class="quiet">There are none.</li>}
      </ul>
      <form class="line" onSubmit={onSubmit(add)} aria-label="Expect a box">
        <input name="fingerprint" placeholder="as on the box's screen" aria-label="Fingerprint of the box" required />
        <button type="submit">Expect it</button>
      </form>
    </>
  );
}

export function Accounts({ onError }: { onError: OnError }) {
  const me = useContext(MeContext);
  const { operate } = useMay();
  const isUser = me.kind === "user";
  const isAdministrator = me.role === "administrator";
  if (!isUser && !operate) return null;
  return (
    <section aria-label="Accounts">
      <h2>Accounts</h2>
      <div class="panel">
        {isAdministrator && <Fold title="Users">{() => <Users onError={onError} />}</Fold>}
        {isUser && me.by === "cookie" && <Fold title="Your password">{() => <Password name={me.name} onError={onError} />}</Fold>}
        {(isUser || isAdministrator) && (
          <Fold title={isAdministrator ? "Tokens for scripts" : "Your tokens for scripts"}>{() => <Tokens onError={onError} />}</Fold>
        )}
        {operate && <Fold title="Join tokens for boxes">{() => <JoinTokens onError={onError} />}</Fold>}
        {operate && <Fold title="Expected boxes">{() => <Expected onError={onError} />}</Fold>}
      </div>
    </section>
  );
}
