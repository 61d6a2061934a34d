import { render } from "preact";
import { useCallback, useEffect, useReducer, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { Accounts } from "./accounts";
import { Boxes, useBoxes } from "./boxes";
import { FarmPanel } from "./farm";
import { Frames } from "./frames";
import { Alarms, Header } from "./header";
import { Jobs } from "./jobs";
import { change, emptyFarm, type Me } from "./model";
import { Nodes } from "./nodes";
import "./page.css";
import { Login, MeContext } from "./people";
import { findMe, follow, whenNobody } from "./server";

const errorShown_ms = 8000;

function FarmPage({ onLeft }: { onLeft: () => void }) {
  const [farm, dispatch] = useReducer(change, emptyFarm);
  const [error, setError] = useState<string>();
  const boxes = useBoxes(farm.boxes, setError);
  useEffect(() => follow(dispatch), []);
  useEffect(() => {
    if (!error) return;
    const timer = window.setTimeout(() => setError(undefined), errorShown_ms);
    return () => window.clearTimeout(timer);
  }, [error]);
  const waiting = boxes?.filter((box) => box.state === "pending").length ?? 0;
  useEffect(() => {
    const active = farm.jobs.filter((job) => job.state === "running");
    const what = active.length ? `${Math.floor(active[0].percent)} % · ${active[0].name} · Kiln` : "Kiln";
    document.title = waiting ? `(${waiting}) ${what}` : what;
  }, [farm.jobs, waiting]);
  return (
    <>
      <Header farm={farm} onLeft={onLeft} />
      <main>
        <Alarms farm={farm} />
        {farm.info ? (
          <>
            {boxes && waiting > 0 && <Boxes boxes={boxes} nodes={farm.nodes} onError={setError} />}
            <Frames frames={farm.frames} jobs={farm.jobs} />
            <Nodes nodes={farm.nodes} boxes={boxes} info={farm.info} jobs={farm.jobs} onError={setError} />
            {boxes && waiting === 0 && <Boxes boxes={boxes} nodes={farm.nodes} onError={setError} />}
            <Jobs jobs={farm.jobs} nodes={farm.nodes} onError={setError} />
            <FarmPanel farm={farm} onError={setError} />
            <Accounts onError={setError} />
          </>
        ) : (
          <p class="empty">Waiting for the controller …</p>
        )}
      </main>
      <footer class="quiet">
        {farm.info && `Kiln ${farm.info.version} · farm ${farm.info.farm} · broker port ${farm.info.mqtt.port} · `}
        <a href="/api/v1/openapi.yaml">API</a> · <a href="/metrics">metrics</a>
      </footer>
      {error && <div class="toast" role="alert" onClick={() => setError(undefined)}>{error}</div>}
    </>
  );
}

const nobody: Me = { kind: "anonymous", name: "", role: null, by: null, farm: "" };

function Page() {
  const [me, setMe] = useState<Me>();
  const leave = useCallback(() => {
    document.title = "Kiln";
    setMe((before) => ({ ...nobody, farm: before?.farm ?? "" }));
  }, []);
  useEffect(() => {
    whenNobody(leave);
    return findMe(setMe);
  }, []);
  if (!me) return <main><p class="empty">Waiting for the controller …</p></main>;
  if (!me.role) return <Login farm={me.farm} onMe={setMe} />;
  return (
    <MeContext.Provider value={me}>
      <FarmPage key={me.name} onLeft={() => findMe(setMe)} />
    </MeContext.Provider>
  );
}

render(<Page />, document.body);
