import { useState } from "preact/hooks";
import { isTokenShaped } from "../model/token.ts";
import { beginSession } from "../state/current.ts";

const COMMAND = "kubectl -n kube-system create token admin-user --duration=1h";

export function TokenForm({ reason }: { reason: string }) {
  const [problem, setProblem] = useState("");
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    const token = String(new FormData(form).get("token") ?? "").trim();
    form.reset();
    if (isTokenShaped(token)) beginSession(token);
    else setProblem("This is no token: a token has no spaces and is not empty.");
  };
  return (
    <section class="panel token" aria-labelledby="token-title">
      <h2 id="token-title">A token is needed</h2>
      <p role="alert">{problem || reason}</p>
      <p>
        Open the address that <code>scripts/dashboard.sh</code> printed, start it again, or paste a
        token of this command:
      </p>
      <pre>{COMMAND}</pre>
      <form onSubmit={submit}>
        <label>
          Token
          <input name="token" type="password" autocomplete="off" spellcheck={false} required />
        </label>
        <button type="submit">Use this token</button>
      </form>
    </section>
  );
}
