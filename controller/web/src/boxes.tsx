// Which boxes belong to the farm: those that ask to join, and the identity of those that do.
import { useEffect, useState } from "preact/hooks";
import { ago } from "./format";
import type { BoxKey, FarmNode } from "./model";
import { useMay } from "./people";
import { ask } from "./server";

// Read anew when `about` says that the list changed. Undefined for those who may not see it.
export function useBoxes(about: number, onError: (text: string) => void): BoxKey[] | undefined {
  const { operate } = useMay();
  const [boxes, setBoxes] = useState<BoxKey[]>();
  useEffect(() => {
    if (!operate || !about) return setBoxes(undefined);
    let current = true;
    ask<{ enrollments: BoxKey[] }>("GET", "/enrollments")
      .then((answer) => current && setBoxes(answer.enrollments))
      .catch((error: Error) => current && onError(error.message));
    return () => {
      current = false;
    };
  }, [about, operate]);
  return boxes;
}

// What is not easily taken back asks once more, in its own place.
export function Sure({ label, question, yes, onYes }: { label: string; question: string; yes: string; onYes: () => void }) {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) return <button onClick={() => setAsking(true)}>{label}</button>;
  return (
    <span class="sure" role="group" aria-label={question} onKeyDown={(event) => event.key === "Escape" && setAsking(false)}>
      <span>{question}</span>
      <button
        class="danger"
        onClick={() => {
          setAsking(false);
          onYes();
        }}
      >
        {yes}
      </button>
      <button ref={(button) => button?.focus()} onClick={() => setAsking(false)}>Keep</button>
    </span>
  );
}

// In pairs of groups, so that a narrow screen breaks it where a person reading aloud would.
export function Fingerprint({ text }: { text: string }) {
  return (
    <span class="fingerprint">
      {text.split("-").map((group, i) => (
        <span key={i}>{i > 0 && "-"}{group}<wbr /></span>
      ))}
    </span>
  );
}

const clock_ms = 10_000; // "asked 20 s ago" goes on while nothing else happens

function useClock(): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), clock_ms);
    return () => window.clearInterval(timer);
  }, []);
  return Math.max(now, Date.now());
}

function Waiting({ box, now_ms, act }: { box: BoxKey; now_ms: number; act: (verb: string) => () => void }) {
  const name = box.name || box.id;
  return (
    <article class="box" aria-label={name}>
      <Fingerprint text={box.fingerprint} />
      <p>
        <strong>{name}</strong>
        <span class="quiet">
          {" "}from {box.peer} · asked {ago(box.first_seen_ms, now_ms)}
          {box.last_seen_ms - box.first_seen_ms > 60_000 && `, again ${ago(box.last_seen_ms, now_ms)}`}
        </span>
      </p>
      {box.remark && <p class="warning doubt">{box.remark}</p>}
      <span class="actions">
        <button class="main" onClick={act("approve")}>Approve</button>
        <Sure label="Reject" question={`Turn ${name} away?`} yes="Reject" onYes={act("reject")} />
      </span>
    </article>
  );
}

// Those that are neither waiting nor a node: turned away, shut out, or let in and not heard of yet.
function Elsewhere({ boxes, now_ms, actOn }: {
  boxes: BoxKey[];
  now_ms: number;
  actOn: (box: BoxKey, verb: string) => () => void;
}) {
  const words = { approved: "let in, not here yet", pending: "", rejected: "rejected", revoked: "revoked" };
  return (
    <details class="elsewhere">
      <summary>Other boxes ({boxes.length})</summary>
      <ul>
        {boxes.map((box) => (
          <li key={box.id}>
            <span>
              <strong>{box.name || box.id}</strong>
              <span class="quiet">
                {" "}{words[box.state]}{box.decided_by && ` by ${box.decided_by}`} · last asked {ago(box.last_seen_ms, now_ms)} from {box.peer}
              </span>
              <span class="path">{box.fingerprint}</span>
              {box.remark && <p class="warning doubt">{box.remark}</p>}
            </span>
            <span class="actions">
              {box.state === "approved" ? (
                <Sure label="Revoke" question="Shut it out?" yes="Revoke" onYes={actOn(box, "revoke")} />
              ) : (
                <>
                  <Sure label="Approve" question="Let it in after all?" yes="Approve" onYes={actOn(box, "approve")} />
                  <button title="It may ask again" onClick={actOn(box, "")}>Forget</button>
                </>
              )}
            </span>
          </li>
        ))}
      </ul>
    </details>
  );
}

export function Boxes({ boxes, nodes, onError }: {
  boxes: BoxKey[];
  nodes: FarmNode[];
  onError: (text: string) => void;
}) {
  const now_ms = useClock();
  const actOn = (box: BoxKey, verb: string) => () =>
    ask(verb ? "POST" : "DELETE", `/enrollments/${box.id}${verb && `/${verb}`}`).catch((error: Error) => onError(error.message));
  const waiting = boxes.filter((box) => box.state === "pending");
  const elsewhere = boxes.filter((box) => box.state !== "pending" && !(box.state === "approved" && nodes.some((node) => node.id === box.id)));
  if (!waiting.length && !elsewhere.length) return null;
  return (
    <section aria-label={waiting.length ? "Waiting to join" : "Other boxes"}>
      {waiting.length > 0 && (
        <>
          <h2>Waiting to join</h2>
          <p class="quiet">Approve a box only when its own screen shows the same fingerprint.</p>
          <div class="boxes">
            {waiting.map((box) => <Waiting key={box.id} box={box} now_ms={now_ms} act={(verb) => actOn(box, verb)} />)}
          </div>
        </>
      )}
      {elsewhere.length > 0 && <Elsewhere boxes={elsewhere} now_ms={now_ms} actOn={actOn} />}
    </section>
  );
}

// Of a node: by what the farm knows it, and how to end that.
export function Identity({ box, onClose, onError }: { box: BoxKey; onClose: () => void; onError: (text: string) => void }) {
  const [isDone, setDone] = useState(false);
  const act = (verb: string, then: () => void) => () =>
    ask("POST", `/enrollments/${box.id}/${verb}`).then(then).catch((error: Error) => onError(error.message));
  return (
    <div class="settings identity" role="group" aria-label={`Identity of ${box.name || box.id}`}>
      <Fingerprint text={box.fingerprint} />
      <p class="quiet">
        Asked first {new Date(box.first_seen_ms).toLocaleString()}
        {box.decided_by && `, let in by ${box.decided_by}`}, last from {box.peer}.
      </p>
      {isDone && <p class="quiet" role="status">The old secret is void: the box fetches another by itself.</p>}
      <span class="actions">
        <button
          title="The secret of its key to the farm is replaced; what it renders goes on"
          onClick={act("rotate", () => setDone(true))}
        >
          Rotate secret
        </button>
        <Sure
          label="Revoke" question="Shut it out now? Its work goes to others." yes="Revoke"
          onYes={act("revoke", onClose)}
        />
        <button onClick={onClose}>Close</button>
      </span>
    </div>
  );
}
