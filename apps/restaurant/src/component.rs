//! The restaurant as a component: a request comes in, an answer goes out.

use bytes::Bytes;
use spin_sdk::http::{FullBody, IntoResponse, Request, Response};
use spin_sdk::http_service;

use crate::answer::Answer;
use crate::menu::MENU;
use crate::refusal::Refusal;
use crate::route::{Wish, route};
use crate::store::Store;

#[http_service]
async fn serve(request: Request) -> impl IntoResponse {
    let wish = route(request.method().as_str(), request.uri().path());
    let answer = match wish {
        Ok(wish) => fulfil(wish).await.unwrap_or_else(Answer::from),
        Err(refusal) => refusal.into(),
    };
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(FullBody::new(Bytes::from(answer.body)))
}

async fn fulfil(wish: Wish) -> Result<Answer, Refusal> {
    match wish {
        Wish::Menu => Ok(Answer::json(200, &MENU)),
        Wish::Place(dish) => {
            let order = Store::open().await?.place(dish).await?;
            let answer = Answer::json(201, &order);
            Ok(match order.id {
                Some(id) => answer.with("location", format!("/order/{}/{id}", order.name)),
                None => answer,
            })
        }
        Wish::Newest(dish) => Ok(Answer::json(200, &Store::open().await?.find(dish, None).await?)),
        Wish::One(dish, id) => Ok(Answer::json(200, &Store::open().await?.find(dish, Some(id)).await?)),
    }
}
