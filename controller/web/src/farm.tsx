import { useEffect, useState } from "preact/hooks";
import { Fingerprint } from "./boxes";
import { duration, wasted } from "./format";
import type { Farm, FarmSettings, Waste } from "./model";
import { useMay } from "./people";
import { ask } from "./server";

interface Use {
  online_s: number;
  busy_s: number;
  done_s: number;
  waste: Waste;
}

// The last day. Asked once, and when somebody opens the page anew: a day does not change by the minute.
function Usage() {
  const [total, setTotal] = useState<Use>();
  useEffect(() => {
    ask<{ total: Use }>("GET", "/usage?hours=24")
      .then((answer) => setTotal(answer.total))
      .catch(() => undefined); // an older controller
  }, []);
  if (!total?.online_s) return null;
  return (
    <p class="quiet">
      In the last 24 hours the slots were busy {Math.round((100 * total.busy_s) / total.online_s)} % of their time online:{" "}
      {duration(total.done_s)} rendered, {duration(wasted(total.waste))} wasted.
    </p>
  );
}

// What an administrator sets for the whole farm.
export function FarmPanel({ farm, onError }: { farm: Farm; onError: (text: string) => void }) {
  const [name, setName] = useState("");
  const [size, setSize] = useState("1");
  const { operate } = useMay();
  const settings: FarmSettings | undefined = farm.info?.settings;
  if (!settings) return null;
  const change = (body: unknown) => ask("PATCH", "/farm", body).catch((error: Error) => onError(error.message));
  const limits = Object.entries(settings.limits);
  const add = (event: Event) => {
    event.preventDefault();
    change({ limits: { [name.trim()]: Number(size) } }).then(() => setName(""));
  };
  return (
    <section aria-label="Farm">
      <h2>Farm</h2>
      <div class="panel">
        {operate ? (
          <>
            <label class="switch">
              <input
                type="checkbox" checked={settings.fair_share}
                onChange={(event) => change({ fair_share: event.currentTarget.checked })}
              />
              <span>
                Fair share
                <small class="quiet">Jobs of one priority take turns between users instead of going by submission.</small>
              </span>
            </label>
            <div>
              <strong>Limits</strong>
              <small class="quiet"> how much there is of what jobs take while they render, such as licences</small>
              <ul class="limits">
                {limits.map(([limit, many]) => (
                  <li key={limit}>
                    <span>{limit}</span>
                    <input
                      key={many} type="number" min={1} defaultValue={many} aria-label={`How many of ${limit}`}
                      onChange={(event) => change({ limits: { [limit]: Number(event.currentTarget.value) } })}
                    />
                    <button aria-label={`Remove ${limit}`} onClick={() => change({ limits: { [limit]: 0 } })}>Remove</button>
                  </li>
                ))}
                <li>
                  <form onSubmit={add}>
                    <input
                      placeholder="nuke" value={name} aria-label="Name of a new limit" pattern="[a-z0-9\-]{1,32}" required
                      title="1 to 32 of a-z, 0-9 and -" onInput={(event) => setName(event.currentTarget.value)}
                    />
                    <input
                      type="number" min={1} value={size} aria-label="How many of it"
                      onInput={(event) => setSize(event.currentTarget.value)}
                    />
                    <button type="submit">Add</button>
                  </form>
                </li>
              </ul>
            </div>
          </>
        ) : (
          <p>
            {settings.fair_share ? "Fair share: jobs of one priority take turns between users." : "Jobs of one priority go by submission."}
            {limits.length > 0 && ` Limits: ${limits.map(([limit, many]) => `${many} of ${limit}`).join(", ")}.`}
          </p>
        )}
        {farm.info?.soft_c !== undefined && (
          <p class="quiet">
            A GPU above {farm.info.soft_c} °C gets no new work, above {farm.info.hard_c} °C its task goes elsewhere; a node may
            have limits of its own.
          </p>
        )}
        <Usage />
        {farm.info?.ca_fingerprint && (
          <p>
            <strong>Fingerprint</strong>
            <small class="quiet">
              {" "}of this farm's <a href="/api/v1/ca" download="kiln-ca.pem">certificate authority</a>, which a box shows as well
            </small>
            <br />
            <Fingerprint text={farm.info.ca_fingerprint} />
          </p>
        )}
      </div>
    </section>
  );
}
