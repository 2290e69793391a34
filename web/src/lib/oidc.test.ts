import { expect, test } from "vitest";
import { session } from "./session";
import { challengeOf, finishOidc } from "./oidc";

test("the challenge is that of RFC 7636", async () => {
  expect(await challengeOf("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).toBe("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
});

test("an answer that was not asked for signs nobody in", async () => {
  sessionStorage.setItem("mc.oidc", JSON.stringify({ state: "mine", verifier: "v", tokenEndpoint: "https://issuer.test/token", clientId: "c", access: true, place: "/" }));
  await expect(finishOidc("?code=1&state=other")).rejects.toThrow("does not belong");
  expect(session.get().token).toBeNull();
});
