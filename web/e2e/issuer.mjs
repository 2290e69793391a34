// An issuer of OpenID Connect for journeys: authorization code with PKCE, a public client, a choice of people instead of passwords. Prints its URL.
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { createServer } from "node:http";

const AUDIENCE = "mission-control-page";
const CLIENT = "page";
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const codes = new Map();
let issuer = "";

const encode = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** A token for somebody, for so many seconds from now; fewer than none makes one that has ended. */
function token(who, seconds = 300) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: AUDIENCE, sub: who, iat: now, exp: now + seconds, jti: randomBytes(8).toString("hex"), email: `${who}@example.org`, given_name: who[0].toUpperCase() + who.slice(1) };
  const text = `${encode({ alg: "ES256", kid: "one", typ: "JWT" })}.${encode(claims)}`;
  return `${text}.${sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
}

function escape(text) {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

const paths = {
  "/.well-known/openid-configuration": () => ({ issuer, jwks_uri: `${issuer}/keys`, authorization_endpoint: `${issuer}/authorize`, token_endpoint: `${issuer}/token` }),
  "/keys": () => ({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "one", use: "sig", alg: "ES256" }] }),
  // For the journey alone: the token of somebody who did not come through the page.
  "/mint": (asked) => ({ token: token(asked.get("who"), Number(asked.get("seconds") ?? 300)) }),
  "/authorize": (asked) => {
    if (asked.get("client_id") !== CLIENT || asked.get("response_type") !== "code" || asked.get("code_challenge_method") !== "S256" || asked.get("audience") !== AUDIENCE) {
      return { status: 400, error: "invalid_request" };
    }
    const links = ["ada", "eve"].map((who) => `<p><a href="/choose?${escape(new URLSearchParams({ ...Object.fromEntries(asked), who }).toString())}">${who}</a></p>`);
    return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Issuer</title><h1>Who are you?</h1>${links.join("")}<p><a href="/refuse?${escape(asked.toString())}">nobody</a></p>`;
  },
  "/choose": (asked) => {
    const code = randomBytes(16).toString("hex");
    codes.set(code, { who: asked.get("who"), challenge: asked.get("code_challenge"), to: asked.get("redirect_uri") });
    return { location: `${asked.get("redirect_uri")}?${new URLSearchParams({ code, state: asked.get("state") })}` };
  },
  "/refuse": (asked) => ({ location: `${asked.get("redirect_uri")}?${new URLSearchParams({ error: "access_denied", error_description: "Nobody was chosen.", state: asked.get("state") })}` }),
  "/token": (asked) => {
    const grant = codes.get(asked.get("code"));
    codes.delete(asked.get("code"));
    const proven = grant && createHash("sha256").update(asked.get("code_verifier") ?? "").digest("base64url") === grant.challenge;
    if (!proven || asked.get("client_id") !== CLIENT || asked.get("redirect_uri") !== grant.to || asked.get("grant_type") !== "authorization_code") {
      return { status: 400, error: "invalid_grant", error_description: "The code does not count." };
    }
    return { access_token: token(grant.who), token_type: "Bearer", expires_in: 300 };
  },
};

const server = createServer((request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const url = new URL(request.url, issuer);
    const answer = paths[url.pathname]?.(request.method === "POST" ? new URLSearchParams(Buffer.concat(chunks).toString()) : url.searchParams);
    const headers = { "access-control-allow-origin": "*", "cache-control": "no-store" };
    if (answer === undefined) response.writeHead(204, headers).end();
    else if (typeof answer === "string") response.writeHead(200, { ...headers, "content-type": "text/html; charset=utf-8" }).end(answer);
    else if (answer.location) response.writeHead(302, { ...headers, location: answer.location }).end();
    else response.writeHead(answer.status ?? 200, { ...headers, "content-type": "application/json" }).end(JSON.stringify(answer));
  });
});
server.listen(0, "127.0.0.1", () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(issuer);
});
