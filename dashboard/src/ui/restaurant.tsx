import { useState } from "preact/hooks";
import { Failure } from "../kube/failure.ts";
import { formatTime } from "../model/format.ts";
import { orderKey } from "../model/orders.ts";
import type { Session } from "../state/session.ts";
import { Panel, Table } from "./parts.tsx";

export function RestaurantPanel({ session }: { session: Session }) {
  const { menu, orders, namespace, failure } = session.restaurant;
  if (!namespace.value) {
    return (
      <Panel id="restaurant" title="Restaurant">
        <p class="quiet">No pod with the label app=restaurant is ready.</p>
      </Panel>
    );
  }
  return (
    <Panel id="restaurant" title="Restaurant">
      {failure.value && <p class="problem">{failure.value.message}</p>}
      {menu.value.length > 0 && <OrderForm session={session} />}
      {orders.value.length === 0 ? (
        <p class="quiet">There are no orders yet.</p>
      ) : (
        <Table label="Orders" columns={["Order", "Dish", "State", { number: "Seen at" }]}>
          {orders.value.map((order) => (
            <tr key={orderKey(order)}>
              <th scope="row">{order.id ?? "–"}</th>
              <td>{order.name}</td>
              <td>
                <span class={`badge order-${order.state}`}>{order.state}</span>
              </td>
              <td class="number">{formatTime(order.since)}</td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

function OrderForm({ session }: { session: Session }) {
  const { restaurant } = session;
  const [answer, setAnswer] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: SubmitEvent) => {
    event.preventDefault();
    const dish = String(new FormData(event.currentTarget as HTMLFormElement).get("dish") ?? "");
    setBusy(true);
    try {
      const order = await restaurant.place(dish);
      setAnswer(`Order ${order.id ?? ""} of ${order.name} is placed.`);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      setAnswer(error.message);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form class="order" onSubmit={submit}>
      <label>
        Dish
        <select name="dish">
          {restaurant.menu.value.map(({ name, price }) => (
            <option key={name} value={name}>
              {name} ({price})
            </option>
          ))}
        </select>
      </label>
      <button type="submit" disabled={busy}>
        Place the order
      </button>
      <output role="status">{answer}</output>
    </form>
  );
}
