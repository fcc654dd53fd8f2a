"""Server libraries of chat systems, unmodified, as gateway.mjs: the same orders and answers. `livekit`, `pusher`, `ably`, `twilio`,
`centrifugo`. `authority` is the file of the certificate that vouches for a server at `https:`."""
import asyncio
import json
import os
import sys
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToDict


class LiveKit:
    def __init__(self, url, id, key, **_):
        self.given = (url, id, key)

    async def __call__(self, name, argument):
        from livekit import api
        from livekit.protocol import agent_dispatch, egress, models, room

        async with api.LiveKitAPI(*self.given) as client:
            rooms, agents = client.room, client.agent_dispatch
            both = {key: argument[key] for key in ("room", "identity") if key in argument}
            calls = {
                "room.create": lambda: rooms.create_room(room.CreateRoomRequest(**argument)),
                "room.list": lambda: rooms.list_rooms(room.ListRoomsRequest(**argument)),
                "room.delete": lambda: rooms.delete_room(room.DeleteRoomRequest(**argument)),
                "room.metadata": lambda: rooms.update_room_metadata(room.UpdateRoomMetadataRequest(**argument)),
                "room.send": lambda: rooms.send_data(
                    room.SendDataRequest(
                        room=argument["room"], data=argument["text"].encode(), kind=models.DataPacket.RELIABLE, topic="chat"
                    )
                ),
                "participant.list": lambda: rooms.list_participants(room.ListParticipantsRequest(**both)),
                "participant.get": lambda: rooms.get_participant(room.RoomParticipantIdentity(**both)),
                "participant.remove": lambda: rooms.remove_participant(room.RoomParticipantIdentity(**both)),
                "participant.mute": lambda: rooms.mute_published_track(
                    room.MuteRoomTrackRequest(**both, track_sid=argument["track"], muted=True)
                ),
                "participant.update": lambda: rooms.update_participant(room.UpdateParticipantRequest(**argument)),
                "participant.subscribe": lambda: rooms.update_subscriptions(
                    room.UpdateSubscriptionsRequest(**both, track_sids=[argument["track"]], subscribe=True)
                ),
                "participant.forward": lambda: rooms.forward_participant(
                    room.ForwardParticipantRequest(**both, destination_room=argument["to"])
                ),
                "participant.move": lambda: rooms.move_participant(
                    room.MoveParticipantRequest(**both, destination_room=argument["to"])
                ),
                "dispatch.create": lambda: agents.create_dispatch(
                    agent_dispatch.CreateAgentDispatchRequest(
                        room=argument["room"], agent_name=argument["agent"], metadata="m"
                    )
                ),
                "dispatch.list": lambda: agents.list_dispatch(argument["room"]),
                "dispatch.delete": lambda: agents.delete_dispatch(argument["dispatch"], argument["room"]),
                "egress.list": lambda: client.egress.list_egress(egress.ListEgressRequest(room_name=argument["room"])),
                "egress.stop": lambda: client.egress.stop_egress(egress.StopEgressRequest(egress_id=argument["egress"])),
            }
            return shown(await calls[name]())


def shown(answer):
    if isinstance(answer, list):
        return [shown(one) for one in answer]
    return None if answer is None else MessageToDict(answer)


class Pusher:
    def __init__(self, url, id, key, app, **_):
        from pusher import Pusher as Client

        at = urlsplit(url)
        self.client = Client(app_id=app, key=id, secret=key, ssl=False, host=at.hostname, port=at.port)

    async def __call__(self, name, argument):
        client = self.client
        attributes = [part for part in argument.get("info", "").split(",") if part]
        calls = {
            "event.trigger": lambda: client.trigger(argument["channels"], "greeting", argument["data"]),
            "event.batch": lambda: client.trigger_batch([{"channel": argument["channel"], "name": "a", "data": "1"}]),
            "channel.list": lambda: client.channels_info(argument.get("filter_by_prefix"), attributes),
            "channel.get": lambda: client.channel_info(argument["channel"], attributes),
            "channel.users": lambda: client.users_info(argument["channel"]),
            "user.disconnect": lambda: client.terminate_user_connections(argument["user"]),
        }
        return calls[name]()


class Ably:
    """It gives its key to TLS alone."""

    def __init__(self, url, key, binary=False, authority=None, **_):
        if authority:
            os.environ["SSL_CERT_FILE"] = authority
        self.at = urlsplit(url)
        self.options = {"key": key, "use_binary_protocol": binary}

    async def __call__(self, name, argument):
        from ably import AblyRest

        port = {"tls_port": self.at.port} if self.at.scheme == "https" else {"port": self.at.port, "tls": False}
        client = AblyRest(**self.options, endpoint=self.at.hostname, **port)
        channel = client.channels.get(argument.get("channel", "none"))
        calls = {
            "message.publish": lambda: channel.publish("greeting", argument["data"]),
            "message.history": lambda: channel.history(limit=10),
            "presence.get": lambda: channel.presence.get(),
        }
        try:
            answer = await calls[name]()
            return [item.name for item in answer.items] if hasattr(answer, "items") else None
        finally:
            await client.close()


class Twilio:
    def __init__(self, url, id, key, account, **_):
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        class Rewritten(TwilioHttpClient):
            """The library knows no base address: a client of one's own writes another one."""

            def request(self, method, uri, *rest, **named):
                at = urlsplit(uri)
                return super().request(method, url + at.path + (f"?{at.query}" if at.query else ""), *rest, **named)

        client = Client(id, key, account, http_client=Rewritten())
        self.service = client.conversations.v1.services("IS0123456789abcdef0123456789abcdef")

    async def __call__(self, name, argument):
        conversations = self.service.conversations
        calls = {
            "conversation.create": lambda: conversations.create(friendly_name=argument["name"]),
            "conversation.list": lambda: conversations.list(limit=1),
            "conversation.get": lambda: conversations(argument["conversation"]).fetch(),
            "message.send": lambda: conversations(argument["conversation"]).messages.create(body=argument["text"]),
            "conversation.delete": lambda: conversations(argument["conversation"]).delete(),
        }
        calls[name]()


class Centrifugo:
    def __init__(self, url, key, **_):
        self.given = (f"{url}/api", key)

    async def __call__(self, name, argument):
        import cent

        kinds = {
            "channel.publish": cent.PublishRequest,
            "channel.broadcast": cent.BroadcastRequest,
            "channel.presence_stats": cent.PresenceStatsRequest,
            "channel.history": cent.HistoryRequest,
            "channel.history_remove": cent.HistoryRemoveRequest,
            "channel.list": cent.ChannelsRequest,
            "node.info": cent.InfoRequest,
            "user.subscribe": cent.SubscribeRequest,
            "user.disconnect": cent.DisconnectRequest,
        }
        request = kinds[name](**argument)
        async with cent.AsyncClient(*self.given) as client:
            # The client has a method for each kind, under the name that the HTTP API has for it.
            return (await getattr(client, request.api_method)(request)).model_dump(mode="json")


LIBRARIES = {"livekit": LiveKit, "pusher": Pusher, "ably": Ably, "twilio": Twilio, "centrifugo": Centrifugo}


def failure(error):
    status = getattr(error, "status", None) or getattr(error, "status_code", None)
    code = getattr(error, "code", None)
    message = getattr(error, "message", None) or str(error)
    return {"error": {"name": type(error).__name__, "status": status, "code": code, "message": str(message)}}


async def main():
    order = json.load(sys.stdin)
    client = LIBRARIES[order.pop("library")](**order)
    outcomes = []
    for name, argument in order["calls"]:
        try:
            outcomes.append({"done": await client(name, argument)})
        # Whatever the library raises is what its user sees.
        except Exception as error:
            outcomes.append(failure(error))
    return outcomes


json.dump(asyncio.run(main()), sys.stdout)
