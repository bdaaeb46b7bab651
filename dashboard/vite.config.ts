import { defineConfig } from "vitest/config";

export default defineConfig({
  // `kubectl proxy` serves the page below a prefix: every address in it is relative.
  base: "./",
  build: {
    outDir: "../.state/dashboard/www",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    // The Content-Security-Policy allows no data: addresses.
    assetsInlineLimit: 0,
  },
  test: {
    reporters: ["./tests/count-reporter.ts"],
    projects: [
      { extends: true, test: { name: "unit", include: ["tests/unit/**/*.test.ts"] } },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["tests/browser/**/*.test.ts"],
          // One cluster and one browser for all: in order, one after the other.
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
