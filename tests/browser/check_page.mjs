// node check_page.mjs URL PICTURES: looks at the page as a person would, and leaves pictures of it.
import assert from "node:assert/strict";
import { join } from "node:path";
import { browser, desktop, fits, phone, says, until, visits } from "./visit.mjs";

const [url, pictures] = process.argv.slice(2);

const open = visits(url, (page) => page.getByText("slow", { exact: true }).first());

const pictures_are_there = (page) =>
  until(page, "the frames are shown", () => {
    const images = [...document.querySelectorAll(".frame img")];
    return images.length >= 5 && images.every((image) => image.complete && image.naturalWidth > 0);
  });

{
  const { page, context, troubles } = await open(desktop, "dark");
  await pictures_are_there(page);
  await says(page.locator(".link"), /^live$/);
  await says(page.locator(".node"), /box-1|blender 3/);
  assert.equal(await page.locator(".job").count(), 3);
  await says(page.locator(".job.failed"), /camera/i);
  await says(page.locator(".job.running"), /of 60 tasks/);
  await page.locator(".node .held").first().waitFor();
  await says(page.locator(".job.done"), /1 held for a look[^]*Frame 3[^]*all black/);
  await page.locator(".frame.look").waitFor();

  // Live: another frame arrives without a reload.
  const newest = () => page.locator(".frame .number").first().innerText();
  const before = await newest();
  await until(page, "a new frame", (shown) => document.querySelector(".frame .number")?.textContent !== shown, before);

  await page.locator(".job.running .fold").click();
  await page.locator(".job.running .cells .done").first().waitFor();
  await page.screenshot({ path: join(pictures, "desktop.png") });
  await page.locator(".frame").first().click();
  await page.locator(".lightbox img").waitFor();
  await page.keyboard.press("ArrowRight");
  await page.screenshot({ path: join(pictures, "lightbox.png") });
  await page.keyboard.press("Escape");
  await page.locator(".lightbox").waitFor({ state: "detached" });
  await fits(page);

  await page.locator(".node button", { hasText: "Drain" }).click();
  await page.locator(".node button", { hasText: "Resume" }).waitFor();
  await page.locator(".node button", { hasText: "Resume" }).click();
  await page.locator(".node button", { hasText: "Drain" }).waitFor();
  // Rarer things are in a menu, which Escape closes; hours and limits in a form of their own.
  await page.locator(".menu summary").click();
  await page.locator(".menu button", { hasText: "Restart when idle" }).waitFor();
  await page.keyboard.press("Escape");
  await page.locator(".menu button", { hasText: "Restart when idle" }).waitFor({ state: "hidden" });
  await page.locator(".menu summary").click();
  await page.locator(".menu button", { hasText: "Settings" }).click();
  const hours = page.locator(".settings input[name=hours]");
  await hours.fill("mon-fri 20:00-");
  await fits(page);
  // What is typed stays when the node is drawn anew.
  const { nodes } = await (await page.request.get(new URL("/api/v1/nodes", url).href)).json();
  for (const { id } of nodes) await page.request.patch(new URL(`/api/v1/nodes/${id}`, url).href, { data: { tags: ["seen-here"] } });
  await page.getByText("seen-here").first().waitFor();
  assert.equal(await hours.inputValue(), "mon-fri 20:00-");
  await page.locator(".settings button", { hasText: "Close" }).click();
  await page.locator(".settings").waitFor({ state: "detached" });
  await page.getByText("Fair share").waitFor();
  await page.locator(".job.running button", { hasText: "Pause" }).click();
  await page.locator(".job.paused button", { hasText: "Resume" }).click();
  await page.locator(".job.done button", { hasText: "Accept" }).click();
  await page.locator(".frame.look").waitFor({ state: "detached" });
  await until(page, "no frame is held", () => !document.querySelector(".job.done")?.innerText.includes("held"));
  assert.deepEqual(troubles, []);
  await context.close();
}
for (const scheme of ["dark", "light"]) {
  const { page, context, troubles } = await open(phone, scheme);
  await page.locator(".frame img").first().waitFor();
  await fits(page);
  await page.screenshot({ path: join(pictures, `phone-${scheme}.png`), fullPage: true });
  assert.deepEqual(troubles, []);
  await context.close();
}
{
  const { page, troubles } = await open(desktop, "light");
  await page.locator(".job.running button", { hasText: "Cancel" }).click();
  await page.locator(".job.cancelled").waitFor();
  await page.screenshot({ path: join(pictures, "desktop-light.png") });
  assert.deepEqual(troubles, []);
}
await browser.close();
console.log(`pictures are in ${pictures}`);
