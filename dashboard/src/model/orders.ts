export interface Dish {
  name: string;
  price: number;
}

export interface Order {
  name: string;
  state: string;
  /** Orders that the first version of the restaurant stored have none. */
  id?: number;
}

export interface SeenOrder extends Order {
  /** When the page saw this state first, milliseconds since 1970. */
  since: number;
}

const MAX_ORDERS = 50;

export const orderKey = ({ name, id }: Pick<Order, "name" | "id">) => `${name}/${id ?? ""}`;

/** The orders with this one at its place, the newest first. */
export function noteOrder(
  orders: readonly SeenOrder[],
  order: Order,
  now: number,
): readonly SeenOrder[] {
  const key = orderKey(order);
  const before = orders.find((known) => orderKey(known) === key);
  if (before?.state === order.state) return orders;
  const seen: SeenOrder = { ...order, since: now };
  if (before) return orders.map((known) => (known === before ? seen : known));
  return [seen, ...orders].sort((a, b) => (b.id ?? 0) - (a.id ?? 0)).slice(0, MAX_ORDERS);
}

/**
 * The order that a line of the kitchen's log is about: "cooking PIZZA (order 7)". The
 * line only says that something changed; the order's state comes from the restaurant.
 */
export function orderOfLine(
  line: string,
  menu: readonly Dish[],
): Pick<Order, "name" | "id"> | undefined {
  for (const { name } of menu) {
    const at = line.indexOf(name);
    if (at < 0) continue;
    const id = /^ \(order (\d{1,15})\)/.exec(line.slice(at + name.length))?.[1];
    return id === undefined ? { name } : { name, id: Number(id) };
  }
  return undefined;
}
