import type { Config } from "tailwindcss";

// Every colour is a variable (src/index.css), so that light and dark are one set of classes.
const token = (name: string) => `rgb(var(--${name}) / <alpha-value>)`;

export default {
  darkMode: ["selector", '[data-theme="dark"]'],
  content: ["./index.html", "./src/**/*.{ts,tsx}"],
  theme: {
    extend: {
      colors: {
        canvas: token("canvas"),
        surface: token("surface"),
        raised: token("raised"),
        sunken: token("sunken"),
        line: token("line"),
        ink: { DEFAULT: token("ink"), soft: token("ink-soft"), faint: token("ink-faint") },
        accent: { DEFAULT: token("accent"), ink: token("accent-ink"), soft: token("accent-soft") },
        danger: { DEFAULT: token("danger"), soft: token("danger-soft") },
        warn: { DEFAULT: token("warn"), soft: token("warn-soft") },
      },
      fontFamily: {
        sans: ['"Inter Variable"', "system-ui", "sans-serif"],
        mono: ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", '"Liberation Mono"', "monospace"],
      },
      boxShadow: {
        card: "0 1px 2px rgb(var(--shade) / 0.05), 0 8px 24px -12px rgb(var(--shade) / 0.18)",
        float: "0 4px 12px rgb(var(--shade) / 0.10), 0 16px 40px -12px rgb(var(--shade) / 0.30)",
      },
      maxWidth: { column: "46rem" },
      keyframes: {
        rise: {
          from: { opacity: "0", transform: "translateY(6px)" },
          to: { opacity: "1", transform: "none" },
        },
        glow: { "0%, 100%": { opacity: "0.35" }, "50%": { opacity: "1" } },
      },
      animation: { rise: "rise 180ms ease-out", glow: "glow 1.4s ease-in-out infinite" },
    },
  },
} satisfies Config;
