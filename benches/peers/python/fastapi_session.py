"""FastAPI, as the provider's documentation writes a session route.

MODE=docs makes a new httpx client for each request, as documented; MODE=shared keeps one for all of them.
"""
import contextlib
import os

import httpx
from fastapi import FastAPI, Header, HTTPException

API_URL = os.environ.get("API", "http://127.0.0.1:9001/v1")
HEADERS = {"x-api-key": "sk_live_x", "Content-Type": "application/json"}
LIFETIME = 3600

app = FastAPI()
limits = httpx.Limits(max_connections=256, max_keepalive_connections=256)
shared = httpx.AsyncClient(limits=limits) if os.environ.get("MODE") == "shared" else None


@app.get("/api/chat/session")
async def chat_session(x_forwarded_user: str | None = Header(None), x_forwarded_name: str | None = Header(None)):
    if not x_forwarded_user:
        raise HTTPException(401)
    name = x_forwarded_name or x_forwarded_user
    async with contextlib.nullcontext(shared) if shared else httpx.AsyncClient() as client:
        user = {"id": x_forwarded_user, "username": name}
        upsert = await client.post(f"{API_URL}/users", headers=HEADERS, json=user)
        upsert.raise_for_status()
        mint = {"userId": x_forwarded_user, "expiresIn": LIFETIME}
        minted = await client.post(f"{API_URL}/auth/token", headers=HEADERS, json=mint)
        minted.raise_for_status()
        token = minted.json()
    return {
        "token": token["token"],
        "expiresAt": token["expiresAt"],
        "apiUrl": API_URL,
        "chatUserId": x_forwarded_user,
        "displayName": name,
    }
