"""The words of Tidemill as data: documents, topics and errors. No I/O happens here."""
