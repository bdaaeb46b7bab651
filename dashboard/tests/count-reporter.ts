import type { Reporter, TestCase, TestModule } from "vitest/node";

/** Prints one line for each test in the form of `go test -v`, which scripts/test.sh counts. */
export default class CountReporter implements Reporter {
  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result();
    if (state === "pending") return;
    // A test that was skipped has shown nothing: it counts as failed.
    const verdict = state === "passed" ? "PASS" : "FAIL";
    console.log(`--- ${verdict}: ${test.fullName}`);
    for (const error of errors ?? []) console.log(error.stack ?? error.message);
  }

  onTestModuleEnd(module: TestModule): void {
    for (const error of module.errors()) {
      console.log(`--- FAIL: ${module.moduleId}\n${error.stack ?? error.message}`);
    }
  }
}
