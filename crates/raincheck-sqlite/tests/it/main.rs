//! What the embedded store promises beyond every store: where things lie, and what opening it again brings.

mod aside;
mod behind;
mod bodies;
mod clock;
mod damage;
mod durable;
mod kit;
mod once;
mod output;
mod refused;
mod sealed;
mod space;
mod stall;
