"""Attachments: fetched with care, named, classed, kept and handed out."""
