import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { compress } from "./build/compress.ts";
import { first } from "./build/first.ts";
import { groups } from "./build/groups.ts";

const edge = process.env["MISSION_CONTROL_URL"] ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react(), tailwindcss(), first(), compress()],
  resolve: { alias: { "@": fileURLToPath(new URL("./src", import.meta.url)) } },
  build: {
    target: ["chrome123", "firefox125", "safari17.5"],
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // Nothing is inlined: the policy allows no data: scripts or fonts.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    rolldownOptions: { output: { codeSplitting: { includeDependenciesRecursively: false, groups: groups(fileURLToPath(new URL("./src", import.meta.url))) } } },
  },
  worker: { format: "es" },
  server: {
    proxy: { "^/(api|missioncontrol|health|openapi)": { target: edge, changeOrigin: true } },
  },
  test: { environment: "happy-dom", include: ["src/**/*.test.ts", "src/**/*.test.tsx"] },
});
