// The Go handler a provider's documentation would show: net/http and the standard library.
//
// MODE says what it does for each request: "docs" (two calls), "cached" (the same behind a map), "eddsa" (a local token).
package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"time"
)

const lifetime = time.Hour

var (
	api     = os.Getenv("API")
	cache   sync.Map
	private ed25519.PrivateKey
	b64     = base64.RawURLEncoding
	header  = b64.EncodeToString([]byte(`{"typ":"JWT","alg":"EdDSA","kid":"key_01"}`))
)

type session struct {
	Token       string `json:"token"`
	ExpiresAt   string `json:"expiresAt"`
	APIURL      string `json:"apiUrl"`
	ChatUserID  string `json:"chatUserId"`
	DisplayName string `json:"displayName"`
}

type entry struct {
	answer  []byte
	expires time.Time
}

type claims struct {
	Issuer   string         `json:"iss"`
	Audience string         `json:"aud"`
	Subject  string         `json:"sub"`
	Name     string         `json:"name"`
	IssuedAt int64          `json:"iat"`
	Expires  int64          `json:"exp"`
	Grants   map[string]any `json:"grants"`
}

var grants = map[string]any{"room": "lobby", "roomJoin": true, "canPublish": true, "canSubscribe": true, "canPublishData": true, "hidden": false}

func post(path string, body any, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, api+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("x-api-key", "sk_live_x")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	if answer == nil {
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

func remote(id, name string) (*session, error) {
	if err := post("/users", map[string]string{"id": id, "username": name}, nil); err != nil {
		return nil, err
	}
	s := &session{APIURL: api, ChatUserID: id, DisplayName: name}
	return s, post("/auth/token", map[string]any{"userId": id, "expiresIn": int(lifetime.Seconds())}, s)
}

func cached(id, name string) ([]byte, error) {
	if e, ok := cache.Load(id); ok && time.Now().Before(e.(*entry).expires) {
		return e.(*entry).answer, nil
	}
	s, err := remote(id, name)
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(s)
	cache.Store(id, &entry{answer, time.Now().Add(lifetime)})
	return answer, err
}

func local(id, name string) (*session, error) {
	now := time.Now()
	expires := now.Add(lifetime)
	body, err := json.Marshal(claims{"sidemint", "chat", id, name, now.Unix(), expires.Unix(), grants})
	message := header + "." + b64.EncodeToString(body)
	token := message + "." + b64.EncodeToString(ed25519.Sign(private, []byte(message)))
	return &session{token, expires.UTC().Format(time.RFC3339), api, id, name}, err
}

func rendered(mint func(id, name string) (*session, error)) func(id, name string) ([]byte, error) {
	return func(id, name string) ([]byte, error) {
		s, err := mint(id, name)
		if err != nil {
			return nil, err
		}
		return json.Marshal(s)
	}
}

func main() {
	answers := map[string]func(id, name string) ([]byte, error){"docs": rendered(remote), "cached": cached, "eddsa": rendered(local)}
	answer := answers[os.Getenv("MODE")]
	_, private, _ = ed25519.GenerateKey(nil)
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 256 // the default of 2 would cripple it
	http.HandleFunc("/api/chat/session", func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Forwarded-User")
		if id == "" {
			http.Error(w, `{"error":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		name := r.Header.Get("X-Forwarded-Name")
		if name == "" {
			name = id
		}
		body, err := answer(id, name)
		if err != nil {
			http.Error(w, `{"error":"Chat unavailable"}`, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.Write(body)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
