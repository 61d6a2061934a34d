// node check_people.mjs URL PICTURES BOX FINGERPRINT COPY: logs in as people of several roles and lets a box in, as they would.
// BOX waits to join, under FINGERPRINT; so does COPY, another box that says it is the same hardware. Users: root (administrator), vic (viewer), of one password.
import assert from "node:assert/strict";
import { join } from "node:path";
import { browser, desktop, fits, phone, says, visits } from "./visit.mjs";

const [url, pictures, box, fingerprint, copy] = process.argv.slice(2);
const password = "correct horse battery";

// What the controller refuses, the browser writes down by itself.
const open = visits(url, (page) => page.locator(".login form"), /status of 40[13]/);

async function logIn(page, name, word = password) {
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(word);
  await page.getByRole("button", { name: "Log in" }).click();
}

{
  // A wrong password is said; nothing of the farm is shown before the right one.
  const { page, context, troubles } = await open(phone, "light");
  await fits(page);
  await logIn(page, "root", "not my password");
  await page.locator(".login .problem", { hasText: "the name or the password is wrong" }).waitFor();
  await page.screenshot({ path: join(pictures, "login-phone.png") });
  await logIn(page, "root");
  const waiting = page.getByRole("region", { name: "Waiting to join" });
  await waiting.getByText(box, { exact: true }).waitFor();
  const remark = waiting.getByRole("article", { name: copy }).locator(".warning");
  await says(remark, /same hardware/);
  await fits(page);
  await page.screenshot({ path: join(pictures, "joining-phone.png"), fullPage: true });
  assert.deepEqual(troubles, []);
  await context.close();
}
{
  // A viewer sees the farm, and nothing that a viewer may not do.
  const { page, context, troubles } = await open(desktop, "light");
  await page.screenshot({ path: join(pictures, "login-desktop.png") });
  await logIn(page, "vic");
  await page.locator(".who", { hasText: "vic" }).waitFor();
  await page.getByRole("region", { name: "Farm" }).waitFor();
  await says(page.locator(".who"), /viewer/);
  assert.equal(await page.getByText("Waiting to join").count(), 0);
  assert.equal(await page.getByRole("button", { name: /Pause|Cancel|Drain|Approve|Add/ }).count(), 0);
  await page.locator(".job .fold").click();
  await page.locator(".job .details dl").waitFor();
  assert.equal(await page.locator("input").count(), 0);
  await page.screenshot({ path: join(pictures, "viewer-desktop.png"), fullPage: true });
  // Logged out in one window is logged out in the others: the controller ends their streams.
  const other = await context.newPage();
  await other.goto(url);
  await other.locator(".who", { hasText: "vic" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.locator(".login form").waitFor();
  await other.locator(".login form").waitFor({ timeout: 60_000 });
  await page.reload();
  await page.locator(".login form").waitFor();
  assert.deepEqual(troubles, []);
  await context.close();
}
{
  const { page, context, troubles } = await open(desktop, "dark");
  await logIn(page, "root");
  const waiting = page.getByRole("region", { name: "Waiting to join" });
  const card = waiting.getByRole("article", { name: box });
  await card.waitFor();
  assert.equal(await card.locator(".fingerprint").innerText(), fingerprint);
  await page.screenshot({ path: join(pictures, "joining-desktop.png"), fullPage: true });
  // Rejecting asks first.
  await card.getByRole("button", { name: "Reject" }).click();
  await card.getByText(`Turn ${box} away?`).waitFor();
  await card.getByRole("button", { name: "Keep" }).click();
  await card.getByRole("button", { name: "Approve" }).click();
  const node = page.locator(".node", { hasText: box });
  await node.waitFor();
  await card.waitFor({ state: "detached" });

  // Accounts: what is folded is asked for when it is opened.
  const accounts = page.getByRole("region", { name: "Accounts" });
  const unfold = (title) => accounts.locator("summary", { hasText: title }).click();
  await unfold("Users");
  const form = accounts.getByRole("form", { name: "Add a user" });
  await form.getByLabel("Name of the new user").fill("ada");
  await form.getByLabel("Password of the new user").fill(password);
  await form.getByRole("button", { name: "Add" }).click();
  const ada = accounts.locator("li", { hasText: "ada" });
  await ada.getByLabel("Role of ada").selectOption("operator");
  await ada.getByRole("button", { name: "Disable" }).click();
  await ada.getByRole("button", { name: "Enable" }).click();
  assert.equal(await ada.getByLabel("Role of ada").inputValue(), "operator");
  await unfold("Tokens for scripts");
  const tokens = accounts.getByRole("form", { name: "Make a token" });
  await tokens.getByLabel("What the token is for").fill("nightly");
  await tokens.getByRole("button", { name: "Make a token" }).click();
  assert.match(await accounts.locator(".secret").innerText(), /^kiln_/);
  const nightly = accounts.locator("li", { hasText: "nightly" });
  await unfold("Join tokens for boxes");
  const joining = accounts.getByRole("form", { name: "Make a join token" });
  await joining.getByLabel("boxes").fill("20");
  await joining.getByRole("button", { name: "Make a join token" }).click();
  await accounts.locator("li", { hasText: "20 more" }).waitFor();
  const expected = fingerprint.replace(/[^-]/g, fingerprint[0]); // of a box that is not here
  await unfold("Expected boxes");
  await accounts.getByLabel("Fingerprint of the box").fill(expected);
  await accounts.getByRole("button", { name: "Expect it" }).click();
  await accounts.locator("li", { hasText: expected }).getByRole("button", { name: "Remove" }).waitFor();
  await unfold("Your password");
  await accounts.getByLabel("Present password").fill("not my password");
  await accounts.getByLabel("New password").fill("another long password");
  await accounts.getByRole("button", { name: "Change" }).click();
  await page.getByRole("alert").waitFor();
  await page.screenshot({ path: join(pictures, "accounts-desktop.png"), fullPage: true });
  await page.setViewportSize(phone);
  await fits(page);
  await page.screenshot({ path: join(pictures, "accounts-phone.png"), fullPage: true });
  await page.setViewportSize(desktop);
  await nightly.getByRole("button", { name: "Remove" }).click();
  await nightly.locator(".sure .danger").click();
  await nightly.waitFor({ state: "detached" });
  await accounts.locator("li", { hasText: expected }).getByRole("button", { name: "Remove" }).click();
  await accounts.locator("li", { hasText: expected }).waitFor({ state: "detached" });

  const more = async (entry) => {
    await node.locator(".menu summary").click();
    await node.locator(".menu button", { hasText: entry }).click();
  };
  await more("Identity");
  assert.equal(await node.locator(".identity .fingerprint").innerText(), fingerprint);
  await node.getByRole("button", { name: "Rotate secret" }).click();
  await node.getByText("The old secret is void").waitFor();
  await page.screenshot({ path: join(pictures, "identity-desktop.png"), fullPage: true });
  await node.getByRole("button", { name: "Revoke" }).click();
  await node.locator(".sure .danger").click();
  await node.waitFor({ state: "detached" });
  const others = page.locator(".elsewhere");
  await others.locator("summary").click();
  await others.getByText("revoked by root").waitFor();
  await page.setViewportSize(phone);
  await fits(page);
  await page.screenshot({ path: join(pictures, "revoked-phone.png"), fullPage: true });
  await others.getByRole("button", { name: "Forget" }).click();
  // It asks again by itself, and the page shows that by itself.
  await card.waitFor({ timeout: 120_000 });
  await card.getByRole("button", { name: "Reject" }).click();
  await card.locator(".sure .danger").click();
  await others.locator("summary").click();
  await others.getByText("rejected by root").waitFor();
  assert.deepEqual(troubles, []);
  await context.close();
}
await browser.close();
console.log(`pictures are in ${pictures}`);
