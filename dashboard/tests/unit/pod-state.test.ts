import { describe, expect, it } from "vitest";
import type { ContainerStatus, Pod } from "../../src/kube/types.ts";
import { podState } from "../../src/model/pod-state.ts";

function container(fields: Partial<ContainerStatus>): ContainerStatus {
  return { name: "app", ready: false, restartCount: 0, image: "shop:1", imageID: "", ...fields };
}

function pod(status: Pod["status"], metadata: Partial<Pod["metadata"]> = {}): Pod {
  return { metadata: { name: "shop-1", uid: "u", ...metadata }, status: status! };
}

const scheduled = { type: "PodScheduled", status: "True" };

describe("the state of a pod", () => {
  it("explains a crash loop of an app by the shim's exit code and its last words", () => {
    const lastState = {
      terminated: { exitCode: 66, message: "noise\nSPIN_WORKERS is no number: many\n" },
    };
    const state = { waiting: { reason: "CrashLoopBackOff", message: "back-off 40s" } };
    const containerStatuses = [container({ restartCount: 3, state, lastState })];
    expect(podState(pod({ phase: "Running", containerStatuses }), true)).toEqual({
      level: "failed",
      title: "Crash loop",
      reason:
        "The container app ended with exit code 66: what was given from outside is not right. " +
        "It said: “SPIN_WORKERS is no number: many” " +
        "It was restarted 3 times; Kubernetes waits longer before each restart.",
    });
  });

  it("takes a container that ended and is restarted for a crash loop, whatever the kubelet calls it", () => {
    const state = { terminated: { exitCode: 66, message: "SPIN_WORKERS is no number" } };
    const crashing = (restartCount: number) =>
      podState(
        pod({ phase: "Running", containerStatuses: [container({ restartCount, state })] }),
        true,
      );
    expect(crashing(0)).toMatchObject({
      title: "Restarting",
      reason: expect.stringMatching(/exit code 66: .* It is started again\.$/),
    });
    expect(crashing(1)).toMatchObject({
      title: "Crash loop",
      reason: expect.stringMatching(/“SPIN_WORKERS is no number” It was restarted once; /),
    });
  });

  it("counts an app that ends by itself as failed only where it is started again", () => {
    const containerStatuses = [container({ state: { terminated: { exitCode: 0 } } })];
    const ended = pod({ phase: "Running", containerStatuses });
    expect(podState(ended, true)).toMatchObject({
      title: "Restarting",
      reason: "The container app ended by itself with exit code 0. It is started again.",
    });
    expect(podState({ ...ended, spec: { restartPolicy: "OnFailure" } }, true).level).not.toBe(
      "failed",
    );
    expect(podState(pod({ phase: "Succeeded", containerStatuses }), true).title).toBe("Completed");
  });

  it("gives an ordinary container's exit code no meaning of the shim's", () => {
    const containerStatuses = [container({ state: { terminated: { exitCode: 66 } } })];
    expect(podState(pod({ phase: "Failed", containerStatuses }), false).reason).toBe(
      "The container app ended with exit code 66.",
    );
  });

  it.each([
    [
      { exitCode: 137, reason: "OOMKilled" },
      "was killed because it used more memory than its limit",
    ],
    [{ exitCode: 137, reason: "Error" }, "ended by SIGKILL, it was killed (exit code 137)"],
    [{ exitCode: 143 }, "ended by SIGTERM, it was asked to stop (exit code 143)"],
    [{ exitCode: 130 }, "ended by signal 2 (exit code 130)"],
    [{ exitCode: 1 }, "ended with exit code 1"],
    [{ exitCode: 68 }, "ended with exit code 68: the image cannot be read"],
  ])("says how a container ended: %j", (terminated, words) => {
    const containerStatuses = [container({ state: { terminated } })];
    const state = podState(pod({ phase: "Failed", containerStatuses }), true);
    expect(state.reason).toBe(`The container app ${words}.`);
  });

  it("names the image that cannot be pulled, and why", () => {
    const message = 'failed to pull and unpack image "shop:1": not found';
    const state = { waiting: { reason: "ImagePullBackOff", message } };
    expect(
      podState(pod({ phase: "Pending", containerStatuses: [container({ state })] }), true),
    ).toEqual({
      level: "failed",
      title: "Image missing",
      reason:
        'The image shop:1 cannot be had. Failed to pull and unpack image "shop:1": not found.',
    });
  });

  it("says why no node takes a pod", () => {
    const message = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";
    const conditions = [
      { type: "PodScheduled", status: "False", reason: "Unschedulable", message },
    ];
    expect(podState(pod({ phase: "Pending", conditions }), true)).toEqual({
      level: "waiting",
      title: "No node",
      reason: `No node can take the pod. ${message}`,
    });
  });

  it("explains a container that cannot be created", () => {
    const state = { waiting: { reason: "CreateContainerError", message: "exec: not found" } };
    const containerStatuses = [container({ state })];
    expect(podState(pod({ phase: "Pending", containerStatuses }), false).reason).toBe(
      "The container app cannot be created. Exec: not found.",
    );
  });

  it("tells a ready pod from one that does not pass its probe", () => {
    const running = { state: { running: {} } };
    const ready = pod({
      phase: "Running",
      conditions: [scheduled, { type: "Ready", status: "True" }],
      containerStatuses: [container({ ...running, ready: true })],
    });
    const unready = pod({
      phase: "Running",
      conditions: [scheduled, { type: "Ready", status: "False", reason: "ContainersNotReady" }],
      containerStatuses: [container(running)],
    });
    expect(podState(ready, true)).toEqual({ level: "ok", title: "Ready", reason: "" });
    expect(podState(unready, true)).toMatchObject({
      level: "waiting",
      reason: "Runs, but does not pass its readiness probe yet: app.",
    });
  });

  it("keeps saying how a ready pod's container ended before its restart", () => {
    const lastState = { terminated: { exitCode: 137, reason: "OOMKilled" } };
    const restarted = pod({
      phase: "Running",
      conditions: [{ type: "Ready", status: "True" }],
      containerStatuses: [
        container({ ready: true, restartCount: 1, state: { running: {} }, lastState }),
      ],
    });
    expect(podState(restarted, true)).toEqual({
      level: "ok",
      title: "Ready",
      reason:
        "Before its last restart, the container app was killed because it used more memory than its limit.",
    });
  });

  it("puts the end that was asked for before all else", () => {
    const ending = { deletionTimestamp: "2026-11-30T00:00:00Z", deletionGracePeriodSeconds: 30 };
    expect(podState(pod({ phase: "Running" }, ending), true)).toMatchObject({
      title: "Ending",
      reason: "The pod was deleted and has 30 seconds to finish its work.",
    });
  });

  it("shows an eviction's own words", () => {
    const evicted = pod({
      phase: "Failed",
      reason: "Evicted",
      message: "the node was low on memory",
    });
    expect(podState(evicted, false)).toEqual({
      level: "failed",
      title: "Evicted",
      reason: "The node was low on memory.",
    });
  });

  it("has words for an object without any status", () => {
    expect(podState({ metadata: { name: "x", uid: "u" } }, false)).toEqual({
      level: "waiting",
      title: "Starting",
      reason: "The pod waits for the scheduler.",
    });
  });
});
