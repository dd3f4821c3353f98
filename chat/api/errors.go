package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"parley/chat"
)

// problemType is the media type of an error (RFC 9457).
const problemType = "application/problem+json"

// problemShape is how an error crosses the socket.
type problemShape struct {
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Code   chat.Code `json:"code"`
	Detail string    `json:"detail"`
	Remedy string    `json:"remedy,omitempty"`
	// Message is the message that was waited for, as it is now, where the wait ended because it failed.
	Message *messageShape `json:"message,omitempty"`
}

// fault is an error with more to say to HTTP than its code does.
type fault struct {
	error
	status  int           // instead of what the code stands for; 0: no difference
	message *messageShape // goes along; nil for none
}

// Unwrap lets errors.As find the *chat.Error inside.
func (f *fault) Unwrap() error { return f.error }

// refuse makes the errors that come from HTTP itself.
func refuse(status int, code chat.Code, format string, args ...any) error {
	return &fault{error: &chat.Error{Code: code, Detail: fmt.Sprintf(format, args...)}, status: status}
}

// invalid says what is wrong with a request.
func invalid(format string, args ...any) error {
	return &chat.Error{Code: chat.CodeInvalid, Detail: fmt.Sprintf(format, args...)}
}

// problemOf says any error in the words of RFC 9457.
func problemOf(err error) problemShape {
	p := problemShape{Code: chat.CodeOf(err), Detail: err.Error()}
	if e, ok := errors.AsType[*chat.Error](err); ok {
		p.Detail, p.Remedy = e.Detail, e.Try
	} else if errors.Is(err, context.Canceled) {
		p.Code, p.Detail = chat.CodeUnavailable, "the node is stopping"
	}
	p.Status = statusOf(p.Code)
	if f, ok := errors.AsType[*fault](err); ok {
		p.Message = f.message
		if f.status != 0 {
			p.Status = f.status
		}
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// statusOf is the one table from codes to HTTP.
func statusOf(c chat.Code) int {
	switch c {
	case chat.CodeInvalid:
		return http.StatusBadRequest
	case chat.CodeRefused:
		return http.StatusForbidden
	case chat.CodeTarget:
		return http.StatusNotFound
	case chat.CodeConfig, chat.CodeIdentity, chat.CodeIDReused:
		return http.StatusConflict
	case chat.CodeLimit:
		return http.StatusRequestEntityTooLarge
	case chat.CodeLocked:
		return http.StatusLocked
	case chat.CodeUnavailable:
		return http.StatusServiceUnavailable
	case chat.CodeNotReached:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// parseProblem turns an answer of 400 or more back into the error it was. The fault carries the message, if one came along.
func parseProblem(status int, body []byte) error {
	var p problemShape
	if err := json.Unmarshal(body, &p); err != nil || p.Code == "" {
		return &chat.Error{
			Code:   chat.CodeInternal,
			Detail: fmt.Sprintf("the node answered %d %s: %.200q", status, http.StatusText(status), body),
		}
	}
	e := &chat.Error{Code: p.Code, Detail: p.Detail, Try: p.Remedy}
	if p.Message == nil {
		return e
	}
	return &fault{error: e, message: p.Message}
}
