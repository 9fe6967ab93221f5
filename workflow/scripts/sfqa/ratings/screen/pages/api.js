// Requests to the server. The secret link is only in the page's address.
const base = location.pathname.replace(/\/+$/, "");

export class Refusal extends Error {
  constructor(status, word, more) {
    super(word);
    Object.assign(this, { status, word, more });
  }
}

export const address = path => base + path;

async function answer(response) {
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, body.error ?? "unknown", body);
  return body;
}

export const wait = ms => new Promise(done => setTimeout(done, ms));

export async function get(path) {
  return answer(await fetch(address(path), { cache: "no-store", credentials: "omit" }));
}

export async function post(path, body = {}) {
  return answer(await fetch(address(path), {
    method: "POST", credentials: "omit", keepalive: true,
    headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  }));
}

// Send until the server has responded; sending the same answer twice stores it once.
export async function insist(send, troubled) {
  for (let tries = 0; ; tries += 1) {
    try {
      const got = await send();
      if (tries) troubled(false);
      return got;
    } catch (error) {
      if (error instanceof Refusal && error.word === "too_early" && error.more.wait) {
        await wait(1000 * Math.min(error.more.wait, 30) + 100);
        continue;
      }
      if (error instanceof Refusal && error.status < 500 && error.status !== 429) throw error;
      troubled(true);
      await wait(Math.min(1000 * 2 ** tries, 15000));
    }
  }
}
