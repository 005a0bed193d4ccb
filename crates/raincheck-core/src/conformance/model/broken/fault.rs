//! What can be wrong with a store.
//!
//! Invariant: a fault is one way to break one promise.

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::conformance) enum Fault {
    /// Acknowledges jobs that are due later, and loses them.
    LosesJobs,
    /// Refuses a job because the queue is full, and keeps it.
    KeepsRefusedJobs,
    ForgetsKeys,
    TakesAnyFingerprint,
    OverfillsQueues,
    StopsAtABadEntry,
    IgnoresTurns,
    IgnoresPriority,
    StartsEarly,
    StartsOverdueJobs,
    IgnoresPause,
    IgnoresConcurrency,
    IgnoresRates,
    IgnoresGroupLimits,
    IgnoresDepthBytes,
    ForgetsRatesOnOpen,
    IgnoresTheClaimersBound,
    PassesNobodyOver,
    ForgetsTheAttempt,
    LeavesTheFence,
    RepeatsNoClaim,
    /// Answers a lost lease as if it had settled.
    AcceptsOldLeases,
    /// Lets a lost lease settle.
    ObeysOldLeases,
    SettlesTwice,
    LosesResults,
    /// Acknowledges every chunk, and keeps only the first of each job.
    LosesOutput,
    /// Keeps repeated chunks again under their old number.
    TakesAnyChunk,
    /// Answers an emission under a lost lease as if it had kept it.
    AcceptsOldEmissions,
    ChargesReleasedAttempts,
    RetriesForEver,
    ChangesFinalJobs,
    LetsCancelBeatSuccess,
    ForgetsCancelRequests,
    ReclaimsEarly,
    NeverReclaims,
    PrunesEarly,
    LetsTombstonesBeUnknown,
    ForgetsRetries,
    DeletesUnfinishedJobs,
    SeesAllNamespaces,
    DeletesFullQueues,
    PatchesStartedJobs,
    ListsAPageOnly,
    TellsNobody,
    WorksWhenClosed,
    IgnoresUniqueness,
    HoldsValuesForEver,
    ReplacesNobody,
    LosesAttachedKeys,
    LosesKeysOnOpen,
    LosesResultsOnOpen,
    LosesOutputOnOpen,
    LosesPausesOnOpen,
    KeepsAttemptsOnOpen,
    EndsPullLeasesOnOpen,
    EndsDeferredLeasesOnOpen,
    ReusesIdsOnOpen,
    /// Takes a line that was taken before once more.
    TakesLinesAgain,
    /// Ends batches whose upload has not ended.
    SealsByItself,
    NeverTendsBatches,
}
