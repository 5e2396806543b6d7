package client

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// The names of the environment's variables that a client reads.
const (
	baseURLVariable = "RUNAGENT_BASE_URL"
	apiKeyVariable  = "RUNAGENT_API_KEY"
)

// Transport says what to speak.
type Transport string

// The transports.
const (
	TransportAuto Transport = "auto" // Whatever the server speaks best; it is asked once.
	TransportGRPC Transport = "grpc"
	TransportHTTP Transport = "http" // REST, and a WebSocket for each stream.
)

// OnDisconnect says what becomes of an invocation whose caller is gone.
type OnDisconnect string

// What may become of it.
const (
	// Linger cancels it when the caller left on purpose, and gives one whose connection broke ten seconds to come back.
	Linger OnDisconnect = "linger"
	// Cancel ends it with the connection, so that nothing is tried again.
	Cancel OnDisconnect = "cancel"
	// Detach lets it run to its end either way.
	Detach OnDisconnect = "detach"
)

// defaultRetryWindow is for how long a call goes on trying to reach a server that has answered before.
const defaultRetryWindow = 60 * time.Second

type options struct {
	agentID          string
	baseURL          string
	host             string
	port             int
	addressed        bool
	local            bool
	transport        Transport
	apiKey           string
	timeout          time.Duration
	retryWindow      time.Duration
	onDisconnect     OnDisconnect
	userID           string
	persistentMemory bool
	roots            *x509.CertPool
	certificates     []tls.Certificate
}

// An Option says something about a [Client].
type Option func(*options)

// WithAddress names the server by its host and its port. It goes before [WithLocal] and RUNAGENT_BASE_URL.
func WithAddress(host string, port int) Option {
	return func(o *options) { o.host, o.port, o.addressed = host, port, true }
}

// WithBaseURL names the server by a URL: http, https, ws, wss, grpc or grpcs. It goes before all other addresses.
func WithBaseURL(url string) Option {
	return func(o *options) { o.baseURL = url }
}

// WithLocal looks the agent up among those that are served on this machine, where no address is given.
func WithLocal() Option {
	return func(o *options) { o.local = true }
}

// WithTransport says what to speak, without asking the server what it speaks.
func WithTransport(transport Transport) Option {
	return func(o *options) { o.transport = transport }
}

// WithAPIKey names the key to call with. Without it, that is RUNAGENT_API_KEY.
func WithAPIKey(key string) Option {
	return func(o *options) { o.apiKey = key }
}

// WithTimeout bounds each call, all tries together, a stream to its last chunk. A context may set an earlier end.
func WithTimeout(timeout time.Duration) Option {
	return func(o *options) { o.timeout = timeout }
}

// WithRetryWindow says for how long to go on trying to reach a server that answered before and does not now: 60 seconds
// by default; 0 never tries again. A server that never answered is given up at once.
func WithRetryWindow(window time.Duration) Option {
	return func(o *options) { o.retryWindow = window }
}

// WithOnDisconnect says what becomes of an invocation whose caller is gone: [Linger], unless it is said.
func WithOnDisconnect(what OnDisconnect) Option {
	return func(o *options) { o.onDisconnect = what }
}

// WithUserID names the end user on whose behalf the calls are made.
func WithUserID(userID string) Option {
	return func(o *options) { o.userID = userID }
}

// WithPersistentMemory lets the entrypoint keep state for that user.
func WithPersistentMemory() Option {
	return func(o *options) { o.persistentMemory = true }
}

// WithRootCAs says whose certificates to trust, instead of those that this machine trusts. A server that is named by host
// and port is then spoken to over TLS.
func WithRootCAs(roots *x509.CertPool) Option {
	return func(o *options) { o.roots = roots }
}

// WithClientCertificate shows a certificate to servers that ask for one. A server that is named by host and port is then
// spoken to over TLS.
func WithClientCertificate(certificate tls.Certificate) Option {
	return func(o *options) { o.certificates = append(o.certificates, certificate) }
}

// optionsOf returns what the options say, checked as far as that is possible without an address.
func optionsOf(given []Option) (*options, *Error) {
	o := &options{transport: TransportAuto, onDisconnect: Linger, retryWindow: defaultRetryWindow}
	for _, option := range given {
		if option != nil {
			option(o)
		}
	}
	keyField := "api_key"
	if o.apiKey == "" {
		// White space around it comes from how the variable was set.
		keyField, o.apiKey = apiKeyVariable, strings.TrimSpace(os.Getenv(apiKeyVariable))
	}
	switch {
	case o.transport != TransportAuto && o.transport != TransportGRPC && o.transport != TransportHTTP:
		return nil, invalid("transport", "%q is not one of auto, grpc, http.", o.transport)
	case o.onDisconnect != Linger && o.onDisconnect != Cancel && o.onDisconnect != Detach:
		return nil, invalid("on_disconnect", "%q is not cancel, linger or detach.", o.onDisconnect)
	case o.timeout < 0:
		return nil, invalid("timeout", "%v is below 0; 0 sets no bound.", o.timeout)
	case o.retryWindow < 0:
		return nil, invalid("retry_seconds", "%v is below 0; 0 never tries again.", o.retryWindow)
	case strings.ContainsFunc(o.apiKey, func(r rune) bool { return r < ' ' || r > '~' }):
		return nil, invalid(keyField, "The key holds characters that no header can carry.")
	case o.apiKey != strings.TrimSpace(o.apiKey):
		return nil, invalid(keyField, "The key has white space around it.")
	case !utf8.ValidString(o.userID):
		return nil, invalid("user_id", "%+q is not UTF-8.", o.userID)
	}
	if o.onDisconnect == Cancel {
		// What ends with its connection cannot be taken up on another.
		o.retryWindow = 0
	}
	return o, nil
}

// tlsConfig returns what to speak TLS with to a host.
func (o *options) tlsConfig(host string, protocols ...string) *tls.Config {
	return &tls.Config{
		ServerName: host, RootCAs: o.roots, Certificates: o.certificates, NextProtos: protocols, MinVersion: tls.VersionTLS12,
	}
}
