// The one place that talks to the controller.
import { type Change, changeTypes, type Me } from "./model";

const retry_ms = 2000;

// Called whenever the controller says that nobody is logged in (any more).
let onNobody: () => void = () => undefined;
export function whenNobody(call: () => void): void {
  onNobody = call;
}

// Who asks: tried until the controller answers.
export function findMe(onMe: (me: Me) => void): () => void {
  let retry: number | undefined;
  let current = true;
  const find = () => {
    ask<Me>("GET", "/me")
      .then((me) => current && onMe(me))
      .catch(() => current && (retry = window.setTimeout(find, retry_ms)));
  };
  find();
  return () => {
    current = false;
    window.clearTimeout(retry);
  };
}

// Follows the farm for ever; the browser reconnects by itself and resumes by Last-Event-ID.
export function follow(onChange: (change: Change) => void): () => void {
  let source: EventSource;
  let stop: () => void = () => undefined;
  let retry: number | undefined;
  const open = () => {
    source = new EventSource("/api/v1/events");
    source.onopen = () => onChange({ type: "connected", connected: true });
    source.onerror = () => {
      onChange({ type: "connected", connected: false });
      if (source.readyState !== EventSource.CLOSED) return;
      // A browser gives up for good when the answer is no event stream: a proxy's error page, or a session's end. It
      // does not say which.
      stop();
      stop = findMe((me) => (me.role ? (retry = window.setTimeout(open, retry_ms)) : onNobody()));
    };
    for (const type of changeTypes) {
      source.addEventListener(type, (event) => {
        onChange({ type, data: JSON.parse((event as MessageEvent<string>).data) } as Change);
      });
    }
  };
  open();
  return () => {
    stop();
    window.clearTimeout(retry);
    source.close();
  };
}

// Asks for something; a refusal becomes an Error with the controller's own sentence.
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? (method === "GET" ? undefined : "") : JSON.stringify(body),
    });
  } catch {
    throw new Error("The controller does not answer. Is it running?");
  }
  const text = await response.text();
  const json = text && response.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : undefined;
  if (response.status === 401 && path !== "/login") onNobody();
  if (!response.ok) throw new Error(json?.detail ?? json?.title ?? `${response.status} ${response.statusText}`);
  return json as T;
}
