package client

import "context"

// A server that is restarted is back at its old address, most likely; one that is not gets looked for.
const failuresBeforeLooking = 3

// A connection holds the transport of a client, which is made when it is first needed, and made again when the server
// has moved or does not answer on it any more.
type connection struct {
	lookup  func() (address, *Error) // Says where to ask: another place by now, perhaps.
	options *options
	told    address // Where the client was told to look.
	found   address // Where the server is, and what it speaks, once it was looked for.
	current transport
	closed  bool
	// Those that were replaced. Who uses one still, finds out by themselves; until then it has to live.
	retired []transport
	// Held by whoever reads or changes what is above. A channel, so that waiting for it can end with a context.
	lock chan struct{}
}

func newConnection(told address, lookup func() (address, *Error), o *options) *connection {
	return &connection{lookup: lookup, options: o, told: told, lock: make(chan struct{}, 1)}
}

// transport returns the transport, connecting if need be: of goroutines that come at once, the first does.
func (c *connection) transport(ctx context.Context) (transport, *Error) {
	if failure := c.acquire(ctx); failure != nil {
		return nil, failure
	}
	defer c.release()
	if c.closed {
		return nil, closedError()
	}
	if c.current == nil {
		at := c.told
		if at.servers != nil {
			// Leases may have been written since the client was made.
			var failure *Error
			if at, failure = c.lookup(); failure != nil {
				return nil, failure
			}
		}
		found, failure := find(ctx, at, c.options)
		if ctx.Err() != nil {
			return nil, contextError(ctx)
		}
		if failure != nil {
			return nil, failure
		}
		c.found = found
		had := contactNone
		if c.found.asked {
			had = contactAnswer
		}
		return c.made(had)
	}
	return c.current, nil
}

// after returns what to use after so many failures of a transport: another one if the server has moved, or if the
// channel that it is connected by is silent. Over HTTP each stream has a connection of its own.
func (c *connection) after(ctx context.Context, used transport, failures int, silent bool) (transport, *Error) {
	if failure := c.acquire(ctx); failure != nil {
		return nil, failure
	}
	defer c.release()
	switch {
	case c.closed:
		return nil, closedError()
	case c.current == used && (silent && c.found.transport == TransportGRPC || failures >= failuresBeforeLooking && c.moved(ctx)):
		c.retired = append(c.retired, used)
		return c.made(used.contact())
	}
	return c.current, nil
}

// moved looks for the server again. It reports whether it is somewhere else, and speaks what it spoke before.
func (c *connection) moved(ctx context.Context) bool {
	if c.told.transport != TransportAuto && c.told.servers == nil {
		// Only one that was found by asking can be elsewhere.
		return false
	}
	at, failure := c.lookup()
	if failure != nil {
		return false
	}
	var found address
	ok := false
	if at.servers != nil {
		found, failure = at.servers.living(ctx, at.transport, c.options)
		ok = failure == nil
	} else {
		found, ok = ask(ctx, at, c.options)
	}
	if !ok || found == c.found || found.transport != c.found.transport {
		return false
	}
	c.found = found
	return true
}

func (c *connection) made(had contact) (transport, *Error) {
	if c.found.transport == TransportHTTP {
		c.current = newHTTPTransport(c.found, c.options, had)
		return c.current, nil
	}
	made, failure := newGRPCTransport(c.found, c.options, had)
	if failure != nil {
		return nil, failure
	}
	c.current = made
	return c.current, nil
}

func (c *connection) close() {
	c.lock <- struct{}{}
	defer c.release()
	c.closed = true
	if c.current != nil {
		c.current.close()
	}
	for _, transport := range c.retired {
		transport.close()
	}
	c.retired = nil
}

func (c *connection) acquire(ctx context.Context) *Error {
	if ctx.Err() != nil {
		return contextError(ctx)
	}
	select {
	case c.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx)
	}
}

func (c *connection) release() { <-c.lock }

func closedError() *Error {
	return &Error{Reason: ReasonCancelled, Message: "The client was closed."}
}
