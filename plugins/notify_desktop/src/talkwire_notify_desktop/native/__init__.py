"""The client on an agent's own machine: it shows what the server tells on that machine's desktop.

server ──socket──▶ line ──▶ client ──▶ desktop ──▶ the machine's own notifications
                     ◀── answered, seen, dismissed, shown, focus ──┘

It is a program of its own: it reads no talkwire.toml and touches no database.
"""
