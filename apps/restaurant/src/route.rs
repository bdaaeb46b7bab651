//! From a request line to what the guest wishes.

use crate::menu::{self, Dish};
use crate::refusal::Refusal;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// `GET /menu`
    Menu,
    /// `POST /order/NAME`
    Place(&'static Dish),
    /// `GET /order/NAME`: the newest order of the dish.
    Newest(&'static Dish),
    /// `GET /order/NAME/ID`: one order, also when the dish was ordered again since.
    One(&'static Dish, u64),
}

/// Reads a request's method and path (without query). A trailing slash makes no difference, and HEAD is
/// answered as GET: the server leaves the body away.
pub fn route(method: &str, path: &str) -> Result<Wish, Refusal> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let read = matches!(method, "GET" | "HEAD");
    match segments[..] {
        ["menu"] if read => Ok(Wish::Menu),
        ["menu"] => Err(Refusal::WrongMethod { allow: "GET, HEAD" }),
        ["order", name] => match (dish(name)?, method) {
            (dish, "POST") => Ok(Wish::Place(dish)),
            (dish, _) if read => Ok(Wish::Newest(dish)),
            _ => Err(Refusal::WrongMethod { allow: "GET, HEAD, POST" }),
        },
        ["order", name, id] => match (dish(name)?, id.parse()) {
            (dish, Err(_)) => Err(Refusal::NoSuchOrder(dish.name)),
            (dish, Ok(id)) if read => Ok(Wish::One(dish, id)),
            _ => Err(Refusal::WrongMethod { allow: "GET, HEAD" }),
        },
        _ => Err(Refusal::NoSuchPage),
    }
}

fn dish(segment: &str) -> Result<&'static Dish, Refusal> {
    let name = percent_decode(segment);
    menu::find(&name).ok_or(Refusal::NotOnTheMenu(name))
}

/// Undoes percent-encoding. What is no valid escape stays as it is, what is no UTF-8 becomes U+FFFD:
/// neither is on the menu, and both read well in the error.
fn percent_decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The value of an ASCII hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pizza() -> &'static Dish {
        menu::find("PIZZA").expect("pizza is on the menu")
    }

    #[test]
    fn the_three_requests_of_the_readme_are_understood() {
        assert_eq!(route("GET", "/menu"), Ok(Wish::Menu));
        assert_eq!(route("POST", "/order/PIZZA"), Ok(Wish::Place(pizza())));
        assert_eq!(route("GET", "/order/PIZZA"), Ok(Wish::Newest(pizza())));
    }

    #[test]
    fn case_escapes_and_a_trailing_slash_make_no_difference() {
        for path in ["/order/pizza", "/order/PiZZa/", "/order/%50izza", "/order/%70%69%7A%7a%61"] {
            assert_eq!(route("GET", path), Ok(Wish::Newest(pizza())), "{path}");
        }
    }

    #[test]
    fn head_is_answered_as_get() {
        assert_eq!(route("HEAD", "/menu"), Ok(Wish::Menu));
        assert_eq!(route("HEAD", "/order/PIZZA/7"), Ok(Wish::One(pizza(), 7)));
    }

    #[test]
    fn a_dish_that_is_not_on_the_menu_is_named_in_the_refusal() {
        for (path, name) in
            [("/order/sushi", "sushi"), ("/order/a%2Fb", "a/b"), ("/order/100%", "100%"), ("/order/%FF", "\u{fffd}")]
        {
            assert_eq!(route("POST", path), Err(Refusal::NotOnTheMenu(name.into())));
        }
    }

    #[test]
    fn a_wrong_method_is_refused_with_the_right_ones() {
        let refused = |method, path| route(method, path).unwrap_err().header().expect("an Allow header").1;
        assert_eq!(refused("POST", "/menu"), "GET, HEAD");
        assert_eq!(refused("DELETE", "/order/PIZZA"), "GET, HEAD, POST");
        assert_eq!(refused("POST", "/order/PIZZA/7"), "GET, HEAD");
    }

    #[test]
    fn other_paths_lead_nowhere() {
        for path in ["", "/", "/order", "/order/", "/menu/PIZZA", "/order/PIZZA/7/8", "/MENU", "//menu"] {
            assert!(route("GET", path).is_err_and(|refusal| refusal.status() == 404), "{path}");
        }
    }

    #[test]
    fn an_order_number_that_is_none_is_an_order_that_is_not_there() {
        for path in ["/order/PIZZA/x", "/order/PIZZA/-1", "/order/PIZZA/99999999999999999999"] {
            assert_eq!(route("GET", path), Err(Refusal::NoSuchOrder("PIZZA")), "{path}");
        }
    }
}
