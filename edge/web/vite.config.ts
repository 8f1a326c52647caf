import react from "@vitejs/plugin-react";
import tailwindcss from "tailwindcss";
import { defineConfig } from "vite";

// `npm run dev` borrows a running Chorus; the socket's own address comes from /v1/config.
const api = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  css: { postcss: { plugins: [tailwindcss()] } },
  server: { proxy: { "/v1": { target: api, ws: true } } },
  // Everything is a file of its own: the page's policy is `default-src 'self'`, which forbids data: addresses.
  build: { assetsInlineLimit: 0 },
});
