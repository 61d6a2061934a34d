// node check_updates.mjs URL PICTURES: a rollout that is halted, resumed, paused and stopped, as a person sees it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { browser, desktop, fits, phone, says, visits } from "./visit.mjs";

const [url, pictures] = process.argv.slice(2);

const open = visits(url, (page) => page.locator(".rollout"));

{
  const { page, context, troubles } = await open(desktop, "dark");
  const rollout = page.locator(".rollout");
  await says(rollout, /Image 2\.0\.0[^]*halted[^]*0 of 3 boxes good[^]*box-1 went back[^]*not running/);
  await says(page.locator(".alarms"), /update to 2\.0\.0 is halted/);
  const tile = (name) => page.locator(".node", { hasText: name });
  await says(tile("box-1"), /rolled back[^]*not running[^]*other slot is bad/);
  await says(tile("box-3"), /image 1\.0\.0/);
  await tile("box-3").getByText("kiln.toml, line 3: tags is a list of words").waitFor();
  await page.screenshot({ path: join(pictures, "update-halted.png") });
  await fits(page);

  // Another box goes first, and it takes its time.
  await rollout.getByRole("button", { name: "Resume" }).click();
  await says(tile("box-2"), /image 1\.0\.0 → 2\.0\.0 · installing[^]*50 %/);
  await says(rollout, /running[^]*1 under way/);
  await page.locator(".alarms").waitFor({ state: "detached" });
  await page.screenshot({ path: join(pictures, "update.png") });
  await rollout.getByRole("button", { name: "Pause" }).click();
  await rollout.getByText("paused", { exact: true }).waitFor();
  assert.deepEqual(troubles, []);
  await context.close();
}
{
  const { page, context, troubles } = await open(phone, "light");
  await page.screenshot({ path: join(pictures, "update-phone.png"), fullPage: true });
  await fits(page);
  const rollout = page.locator(".rollout");
  await rollout.getByRole("button", { name: "Stop" }).click();
  await rollout.getByText("stopped", { exact: true }).waitFor();
  assert.equal(await rollout.getByRole("button").count(), 0);
  assert.deepEqual(troubles, []);
  await context.close();
}
await browser.close();
console.log("the page shows the rollout");
