import { useEffect, useState } from "preact/hooks";
import { ago, duration } from "./format";
import type { Frame, Job } from "./model";

// What every browser shows by itself; the rest (EXR, TIFF) is shown by its thumbnail.
const browserShows = /\.(png|jpe?g|webp|bmp)$/i;

function Thumbnail({ frame, onOpen }: { frame: Frame; onOpen: () => void }) {
  const [broken, setBroken] = useState(false);
  return (
    <button
      class={frame.held ? "frame look" : "frame"}
      onClick={onOpen}
      title={`${frame.path} · ${frame.node} · ${duration(frame.seconds)}${frame.held ? " · held for a look" : ""}`}
    >
      {broken ? (
        <span class="nopicture">no preview</span>
      ) : (
        <img src={frame.thumbnail} alt={`Frame ${frame.frame}`} loading="lazy" onError={() => setBroken(true)} />
      )}
      <span class="number">{frame.frame}</span>
      {frame.held && <span class="doubt">blank?</span>}
    </button>
  );
}

function Lightbox({ frames, index, jobs, onIndex }: {
  frames: Frame[];
  index: number;
  jobs: Job[];
  onIndex: (index: number | undefined) => void;
}) {
  const frame = frames[index];
  const step = (by: number) => onIndex(Math.min(frames.length - 1, Math.max(0, index + by)));
  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      if (event.key === "Escape") onIndex(undefined);
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    };
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  });
  const job = jobs.find((one) => one.id === frame.job);
  return (
    <div class="lightbox" role="dialog" aria-modal="true" aria-label={frame.path} onClick={() => onIndex(undefined)}>
      <figure onClick={(event) => event.stopPropagation()}>
        <img src={browserShows.test(frame.path) ? frame.url : frame.thumbnail} alt={`Frame ${frame.frame}`} />
        <figcaption>
          <span>
            <strong>{job?.name ?? frame.job}</strong> · frame {frame.frame} · {frame.width}×{frame.height} ·{" "}
            {duration(frame.seconds)} on {frame.node} · {ago(frame.finished_ms, Date.now())}
          </span>
          <span class="actions">
            <button disabled={index === 0} onClick={() => step(-1)} aria-label="Newer">←</button>
            <button disabled={index === frames.length - 1} onClick={() => step(1)} aria-label="Older">→</button>
            <a class="button" href={frame.url} download>Download</a>
            <button onClick={() => onIndex(undefined)}>Close</button>
          </span>
        </figcaption>
      </figure>
    </div>
  );
}

export function Frames({ frames, jobs }: { frames: Frame[]; jobs: Job[] }) {
  // By path, not by place: while it is open, newer frames push it along.
  const [open, setOpen] = useState<string>();
  const index = frames.findIndex((frame) => frame.url === open);
  if (!frames.length) return null;
  return (
    <section aria-label="Newest frames">
      <h2>Newest frames</h2>
      <div class="frames">
        {frames.map((frame) => (
          <Thumbnail key={frame.url} frame={frame} onOpen={() => setOpen(frame.url)} />
        ))}
      </div>
      {index >= 0 && (
        <Lightbox
          frames={frames}
          index={index}
          jobs={jobs}
          onIndex={(next) => setOpen(next === undefined ? undefined : frames[next].url)}
        />
      )}
    </section>
  );
}
