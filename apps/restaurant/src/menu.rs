//! What can be ordered, and for how much.

use serde::Serialize;

/// A dish on the menu.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Dish {
    /// Upper case; also the Redis key that holds the newest order of the dish.
    pub name: &'static str,
    /// In whole coins.
    pub price: u32,
}

/// The menu, in the order in which it is listed.
pub const MENU: [Dish; 4] = [
    Dish { name: "PIZZA", price: 25 },
    Dish { name: "CARBONARA", price: 18 },
    Dish { name: "CALZONE", price: 20 },
    Dish { name: "GNOCCHI", price: 17 },
];

/// The dish of that name, whatever the case of its letters.
pub fn find(name: &str) -> Option<&'static Dish> {
    MENU.iter().find(|dish| dish.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dish_is_found_whatever_its_case() {
        for name in ["PIZZA", "pizza", "PiZzA"] {
            assert_eq!(find(name).map(|dish| dish.price), Some(25));
        }
    }

    #[test]
    fn what_is_not_on_the_menu_is_not_found() {
        for name in ["", "SUSHI", "PIZZA ", "PIZZAS"] {
            assert_eq!(find(name), None, "{name:?}");
        }
    }
}
