import { formatTime } from "../model/format.ts";
import { openPod, session as current } from "../state/current.ts";
import type { Session } from "../state/session.ts";
import { Detail } from "./detail.tsx";
import { EventsPanel } from "./events.tsx";
import { NodesPanel, RuntimeClassesPanel } from "./nodes.tsx";
import { PodsPanels } from "./pods.tsx";
import { RestaurantPanel } from "./restaurant.tsx";
import { ThemeChoice } from "./theme.tsx";
import { TokenForm } from "./token-form.tsx";
import { UsagePanel } from "./usage.tsx";

const NO_TOKEN = "The page has no token. It keeps one in memory alone, so a reload forgets it.";

const LINKS = [
  ["apps", "Spin apps"],
  ["pods", "Ordinary pods"],
  ["nodes", "Nodes"],
  ["usage", "Usage"],
  ["restaurant", "Restaurant"],
  ["events", "Events"],
] as const;

export function Page() {
  const session = current.value;
  return (
    <>
      <header class="top">
        <a class="skip" href="#main" onClick={skip("main")}>
          Skip to the content
        </a>
        <h1>Spin apps in Kubernetes</h1>
        <nav aria-label="Panels">
          {session &&
            LINKS.map(([id, title]) => (
              <a key={id} href={`#${id}`} onClick={skip(id)}>
                {title}
              </a>
            ))}
        </nav>
        {session && <Connection session={session} />}
        <ThemeChoice />
      </header>
      <div class={openPod.value && session ? "split" : ""}>
        <main id="main" tabIndex={-1}>
          {session ? <Panels session={session} /> : <TokenForm reason={NO_TOKEN} />}
        </main>
        {session && <Detail session={session} />}
      </div>
    </>
  );
}

/** The fragment of the address is the token's alone. */
function skip(id: string) {
  return (event: Event) => {
    event.preventDefault();
    const target = document.getElementById(id);
    target?.setAttribute("tabindex", "-1");
    target?.focus();
    target?.scrollIntoView();
  };
}

function Connection({ session }: { session: Session }) {
  const loading = session.pods.health.value === "loading";
  const words =
    session.problems.value.length > 0 ? "not connected" : loading ? "connecting" : "live";
  return (
    <p class="connection">
      <span role="status" class={`badge ${words === "live" ? "ok" : "waiting"}`}>
        {words}
      </span>
      {session.expiry !== undefined && <> token until {formatTime(session.expiry)}</>}
    </p>
  );
}

function Panels({ session }: { session: Session }) {
  const problems = session.problems.value;
  if (session.needsToken.value) return <TokenForm reason={problems.join(" ")} />;
  return (
    <>
      {problems.length > 0 && (
        <div class="problem" role="alert">
          {problems.map((problem) => (
            <p key={problem}>{problem}</p>
          ))}
          <p>What is shown may be out of date; the page tries again by itself.</p>
        </div>
      )}
      <PodsPanels session={session} />
      <div class="columns">
        <UsagePanel session={session} />
        <RestaurantPanel session={session} />
      </div>
      <NodesPanel session={session} />
      <RuntimeClassesPanel session={session} />
      <EventsPanel session={session} />
    </>
  );
}
