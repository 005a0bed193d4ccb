//! What every store must do: the promises, the invariants and the model.
