import { createContext } from "preact";
import { useContext, useState } from "preact/hooks";
import { Flame } from "./icons";
import type { Job, Me } from "./model";
import { ask } from "./server";

export const MeContext = createContext<Me>({ kind: "anonymous", name: "", role: null, by: null, farm: "" });

// What to offer at all; the controller's gate (controller/api/gate.cpp) is what decides.
export function useMay() {
  const me = useContext(MeContext);
  const operate = me.role === "operator" || me.role === "administrator";
  return { operate, steer: (job: Job) => operate || (me.role === "artist" && job.user === me.name) };
}

export function Who({ onLeft }: { onLeft: () => void }) {
  const me = useContext(MeContext);
  const [error, setError] = useState<string>();
  const leave = () => ask("POST", "/logout").then(onLeft).catch((refused: Error) => setError(refused.message));
  return (
    <div class="who">
      <span title={error ?? me.role ?? ""}>
        <strong>{me.kind === "local" ? "this machine" : me.name}</strong>
        <span class="quiet"> {error ?? me.role}</span>
      </span>
      {me.by === "cookie" && <button onClick={leave}>Log out</button>}
    </div>
  );
}

// A password goes over TLS, or does not leave the controller's own machine: elsewhere it would be refused anyway.
const isPlain = location.protocol === "http:" && !/^(localhost|127\.[\d.]+|\[::1\])$/.test(location.hostname);

export function Login({ farm, onMe }: { farm: string; onMe: (me: Me) => void }) {
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const send = (event: Event) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const fields = new FormData(form);
    setBusy(true);
    setError(undefined);
    ask<Me>("POST", "/login", { name: String(fields.get("name")).trim(), password: String(fields.get("password")) })
      .then(onMe)
      .catch((refused: Error) => {
        setError(refused.message);
        setBusy(false);
        const password = form.elements.namedItem("password") as HTMLInputElement;
        password.focus();
        password.select();
      });
  };
  return (
    <main class="login">
      <form onSubmit={send} aria-label="Log in">
        <div class="brand">
          <Flame />
          <h1>Kiln</h1>
          {farm && <span class="quiet">farm {farm}</span>}
        </div>
        {isPlain && (
          <p class="warning">
            This page came over a connection that anybody on the way can read. Log in at{" "}
            <a href={`https://${location.host}/`}>https://{location.host}</a>.
          </p>
        )}
        <label>
          Name
          <input name="name" autocomplete="username" autocapitalize="none" spellcheck={false} maxLength={64} required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete="current-password" maxLength={1024} required />
        </label>
        {error && <p class="problem" role="alert">{error}</p>}
        <button class="main" type="submit" disabled={isBusy}>{isBusy ? "…" : "Log in"}</button>
        <p class="quiet">An administrator makes accounts:<br /><code>kiln user add NAME --role artist</code></p>
      </form>
    </main>
  );
}
