import { render } from "preact";
import { useEffect, useReducer, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { FarmPanel } from "./farm";
import { Frames } from "./frames";
import { Alarms, Header } from "./header";
import { Jobs } from "./jobs";
import { change, emptyFarm } from "./model";
import { Nodes } from "./nodes";
import "./page.css";
import { follow } from "./server";

const errorShown_ms = 8000;

function Page() {
  const [farm, dispatch] = useReducer(change, emptyFarm);
  const [error, setError] = useState<string>();
  useEffect(() => follow(dispatch), []);
  useEffect(() => {
    if (!error) return;
    const timer = window.setTimeout(() => setError(undefined), errorShown_ms);
    return () => window.clearTimeout(timer);
  }, [error]);
  useEffect(() => {
    const active = farm.jobs.filter((job) => job.state === "running");
    document.title = active.length ? `${Math.floor(active[0].percent)} % · ${active[0].name} · Kiln` : "Kiln";
  }, [farm.jobs]);
  return (
    <>
      <Header farm={farm} />
      <main>
        <Alarms farm={farm} />
        {farm.info ? (
          <>
            <Frames frames={farm.frames} jobs={farm.jobs} />
            <Nodes nodes={farm.nodes} info={farm.info} jobs={farm.jobs} onError={setError} />
            <Jobs jobs={farm.jobs} nodes={farm.nodes} onError={setError} />
            <FarmPanel farm={farm} onError={setError} />
          </>
        ) : (
          <p class="empty">Waiting for the controller …</p>
        )}
      </main>
      <footer class="quiet">
        {farm.info && `Kiln ${farm.info.version} · farm ${farm.info.farm} · broker port ${farm.info.mqtt.port}`}
        {" · "}<a href="/api/v1/openapi.yaml">API</a> · <a href="/metrics">metrics</a>
      </footer>
      {error && <div class="toast" role="alert" onClick={() => setError(undefined)}>{error}</div>}
    </>
  );
}

render(<Page />, document.body);
