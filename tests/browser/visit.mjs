// What every look at the page needs: a browser, a page whose console is watched, and patience.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

export const desktop = { width: 1440, height: 1000 };
export const phone = { width: 390, height: 844 };

export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
});

// How the farm's page is opened, until what `sign(page)` locates is there. `troubles` gathers what its console calls an error and what
// it loads from elsewhere; `expected`: a pattern of errors that belong to the visit.
export const visits = (url, sign, expected = /^$/) => async (viewport, colorScheme) => {
  const context = await browser.newContext({ viewport, colorScheme });
  const page = await context.newPage();
  const troubles = [];
  page.on("pageerror", (error) => troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !expected.test(message.text()) && troubles.push(message.text()));
  page.on("request", (request) => {
    if (!request.url().startsWith(url)) troubles.push(`it loads ${request.url()}`);
  });
  await page.goto(url, { waitUntil: "load" });
  await sign(page).waitFor();
  return { page, context, troubles };
};

export async function fits(page) {
  const [wide, window] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(wide <= window, `the page is ${wide} px wide in a window of ${window}`);
}

// page.waitForFunction would need eval, which the page's Content-Security-Policy forbids, as it should.
export async function until(page, what, condition, argument) {
  for (const end = Date.now() + 60_000; Date.now() < end; await page.waitForTimeout(100)) {
    if (await page.evaluate(condition, argument)) return;
  }
  assert.fail(`not within a minute: ${what}`);
}

// The words come when they come: each node reports by itself.
export async function says(part, words) {
  for (const end = Date.now() + 60_000; ; await part.page().waitForTimeout(100)) {
    const text = await part.innerText();
    if (words.test(text) || Date.now() > end) return assert.match(text, words);
  }
}
