//! Tags: labels that the program puts on what it does, and that blocks carry. And how a scope, with its tag and its watch, is
//! handed on to threads and tasks.

pub(crate) mod watch;

use crate::allocator::with_state;
use crate::track::tags;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use watch::Handle;

/// A label for what a scope allocates: a route, a job, a tenant.
///
/// A tracked block carries the tag that was set where it was allocated, and is counted under it whichever thread frees it.
/// A tag is a small number, and its name is kept for ever; there can be [`Tenure::max_tags`](crate::Tenure::max_tags) of
/// them, and those that come later are `other`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(u16);

impl Tag {
    /// No tag.
    pub const NONE: Tag = Tag(tags::NONE);

    /// The tag of that name: the empty name is [`Tag::NONE`]; names are cut after 255 bytes.
    ///
    /// Costs some 20 ns, more for a name that is new. Does not allocate. To do it once, keep the tag.
    pub fn new(name: &str) -> Tag {
        Tag(tags::named(name))
    }

    /// The tag that this thread's allocations have now. To hand it on to a thread or task that is about to be spawned.
    pub fn current() -> Tag {
        Tag(with_state(|state| state.tag()))
    }

    pub(crate) fn from_number(tag: u16) -> Tag {
        Tag(tag)
    }

    /// Its name: empty for [`Tag::NONE`], `other` for those that there was no room for.
    pub fn name(self) -> &'static str {
        tags::name_of(self.0)
    }

    /// Until the returned guard is dropped, what this thread allocates has this tag.
    ///
    /// Scopes nest: a guard puts back the tag that it found. Costs a few nanoseconds. Does not allocate.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn enter(self) -> Scope {
        Scope { before: with_state(|state| state.set_tag(self.0)), thread: PhantomData }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tag").field(&self.name()).finish()
    }
}

/// Until the returned guard is dropped, what this thread allocates is tagged with that name: [`Tag::new`] and
/// [`Tag::enter`] in one.
///
/// ```
/// let _in = tenure::scope("checkout");
/// assert_eq!(tenure::Tag::current().name(), "checkout");
/// {
///     let _in = tenure::scope("payment");
///     assert_eq!(tenure::Tag::current().name(), "payment");
/// }
/// assert_eq!(tenure::Tag::current().name(), "checkout");
/// ```
#[must_use = "the scope ends when the guard is dropped"]
pub fn scope(name: &str) -> Scope {
    Tag::new(name).enter()
}

/// A closure that runs in the scope that this thread is in now: for a thread that is spawned with it. A scope of
/// [`testing`](crate::testing) goes with it, too.
///
/// ```
/// let _in = tenure::scope("import");
/// let worker = std::thread::spawn(tenure::inherit(|| tenure::Tag::current().name()));
/// assert_eq!(worker.join().unwrap(), "import");
/// ```
///
/// Costs a few nanoseconds when it runs; in a scope of `testing` microseconds, because what the thread's magazines hold goes
/// home before and after. Does not allocate. What runs when its testing scope is over is not counted there; whether a scope
/// around that one counts it is not said.
pub fn inherit<T>(f: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let (tag, watch) = (Tag::current(), Handle::current());
    move || {
        let _watched = watch.map(Handle::enter);
        let _in = tag.enter();
        f()
    }
}

/// The same for a closure that runs again and again, on whichever threads: for the tasks of a pool.
///
/// ```
/// let _in = tenure::scope("import");
/// let name = tenure::inherit_each(|_: u32| tenure::Tag::current().name());
/// std::thread::scope(|threads| {
///     for i in 0..2 {
///         let name = &name;
///         threads.spawn(move || assert_eq!(name(i), "import"));
///     }
/// });
/// ```
///
/// Each call costs as much as one of [`inherit`]: in a scope of `testing`, wrap what is worth microseconds.
pub fn inherit_each<A, T>(f: impl Fn(A) -> T) -> impl Fn(A) -> T {
    let (tag, watch) = (Tag::current(), Handle::current());
    move |argument| {
        let _watched = watch.map(Handle::enter);
        let _in = tag.enter();
        f(argument)
    }
}

/// The guard of a scope. Dropping it puts back the tag that it found.
#[derive(Debug)]
pub struct Scope {
    before: u16,
    /// It is of its thread.
    thread: PhantomData<*mut ()>,
}

impl Drop for Scope {
    fn drop(&mut self) {
        with_state(|state| state.set_tag(self.before));
    }
}

/// Futures that run in a scope, on whichever threads they are polled. Where one is made in a scope of
/// [`testing`](crate::testing), each poll is in that, too.
pub trait InScopeExt: Future + Sized {
    /// Sets the tag of that name at each poll, and puts back the one before after it.
    ///
    /// What the future's own state takes where it is boxed or spawned is not allocated in the scope, but what it allocates is.
    fn in_scope(self, name: &str) -> InScope<Self> {
        self.in_tag(Tag::new(name))
    }

    /// The same with a tag at hand.
    fn in_tag(self, tag: Tag) -> InScope<Self> {
        InScope { tag, watch: Handle::current(), future: self }
    }

    /// Hands on the scope that the calling thread is in now: for a task that is spawned with it.
    fn in_current_scope(self) -> InScope<Self> {
        self.in_tag(Tag::current())
    }
}

impl<F: Future> InScopeExt for F {}

/// A future that runs in a scope: see [`InScopeExt`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct InScope<F> {
    tag: Tag,
    watch: Option<Handle>,
    future: F,
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let _watched = self.watch.map(Handle::enter);
        let _in = self.tag.enter();
        // SAFETY: the field is pinned with the whole: nothing moves out of it, and there is no `Drop` or `Unpin` of our own.
        unsafe { self.map_unchecked_mut(|this| &mut this.future) }.poll(context)
    }
}
